package lab

import (
	"fmt"
	"math"
)

// A Target is a bound, or none, for what is measured in a unit.
type Target struct {
	Unit   string   `json:"unit"`
	Above  *float64 `json:"above,omitempty"` // or equal
	Below  *float64 `json:"below,omitempty"`
	AtMost *float64 `json:"at_most,omitempty"`
}

func Above(bound float64, unit string) Target  { return Target{Unit: unit, Above: &bound} }
func Below(bound float64, unit string) Target  { return Target{Unit: unit, Below: &bound} }
func AtMost(bound float64, unit string) Target { return Target{Unit: unit, AtMost: &bound} }
func None(unit string) Target                  { return Target{Unit: unit} }

// Verdict is ok or short, or - where nothing was asked for. What could not be measured is short.
func (t Target) Verdict(value float64) string {
	switch {
	case t.Above == nil && t.Below == nil && t.AtMost == nil:
		return "-"
	case t.Above != nil && value >= *t.Above, t.Below != nil && value < *t.Below, t.AtMost != nil && value <= *t.AtMost:
		return "ok"
	}
	return "short"
}

func (t Target) String() string {
	switch {
	case t.Above != nil:
		return ">= " + Digits(*t.Above)
	case t.Below != nil:
		return "< " + Digits(*t.Below)
	case t.AtMost != nil:
		return "<= " + Digits(*t.AtMost)
	}
	return "-"
}

// Digits are enough to compare by, and no more.
func Digits(value float64) string {
	switch {
	case math.IsNaN(value):
		return "-"
	case value == math.Trunc(value) || math.Abs(value) >= 100:
		return fmt.Sprintf("%.0f", value)
	case math.Abs(value) >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

// Percentile is the smallest value that so many percent of the sorted ones do not exceed. It is NaN of no values.
func Percentile(sorted []float64, percent float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[max(0, int(math.Ceil(percent/100*float64(len(sorted))))-1)]
}
