package lab

import (
	"math"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name   string
		target Target
		value  float64
		want   string
	}{
		{"below the bound", Below(50, "ms"), 49.9, "ok"},
		{"at the bound of what is to be below", Below(50, "ms"), 50, "short"},
		{"at the bound of what is to be above", Above(0.8, ""), 0.8, "ok"},
		{"too little", Above(0.8, ""), 0.79, "short"},
		{"at most the bound", AtMost(1.25, ""), 1.25, "ok"},
		{"more than at most", AtMost(1.25, ""), 1.26, "short"},
		{"not measured", Below(50, "ms"), math.NaN(), "short"},
		{"nothing asked for", None("ms"), 1000, "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.target.Verdict(test.value); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestDigits(t *testing.T) {
	for value, want := range map[float64]string{0.123: "0.12", 9.996: "10.00", 12.34: "12.3", 123.4: "123", 50: "50", 21_345.6: "21346"} {
		if got := Digits(value); got != want {
			t.Errorf("%v: got %s, want %s", value, got, want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(i+1))
	}
	for _, test := range []struct {
		name    string
		sorted  []float64
		percent float64
		want    float64
	}{
		{"half", hundred, 50, 50},
		{"the 99th of a hundred", hundred, 99, 99},
		{"the 99th of a hundred and one is the last but one", append(hundred, 200), 99, 100},
		{"few: the last", []float64{1, 2}, 95, 2},
		{"none", nil, 50, math.NaN()},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Percentile(test.sorted, test.percent); got != test.want && !math.IsNaN(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
