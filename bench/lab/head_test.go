package lab

import (
	"math"
	"testing"
)

func TestRatio(t *testing.T) {
	for _, test := range []struct {
		name   string
		of, to []float64
		want   float64
	}{
		{"median of ratios, not ratio of medians", []float64{10, 200, 30}, []float64{10, 100, 60}, 1},
		{"even number of rounds", []float64{1, 2}, []float64{1, 1}, 1.5},
		{"rounded as it is printed", []float64{0.996}, []float64{1}, 1},
		{"nothing to compare", nil, []float64{1}, math.NaN()},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Ratio(test.of, test.to)
			if got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
