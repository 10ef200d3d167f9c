package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"strings"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// A graph is how fast jobs were done as time went on.
type graph struct {
	name string
	rate []point // jobs a second, at the middle of each span
	end  float64 // when the last job was done
}

// curve: all systems drain many jobs while a reader's snapshot, older than these, is open.
func curve(ctx context.Context, b *bench) error {
	var graphs []graph
	var faults []error
	for _, s := range b.plan.systems {
		if !b.has(s) {
			continue
		}
		d, err := b.underPin(ctx, s)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		b.drained(fmt.Sprintf("pinned, %d jobs, %s", b.plan.Curve, s.name), d)
		graphs = append(graphs, newGraph(s.name, d.done))
	}
	if len(graphs) > 0 {
		faults = append(faults, os.WriteFile(b.plan.picture, []byte(draw(graphs)), 0o644))
	}
	return errors.Join(faults...)
}

func (b *bench) underPin(ctx context.Context, s system) (result drain, err error) {
	p, err := b.fresh(ctx, s)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, p.drop(ctx)) }()
	conn, err := p.pin(ctx, reader)
	if err != nil {
		return result, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := p.insert(ctx, b.plan.Curve); err != nil {
		return result, err
	}
	r, err := p.ready(ctx, drains{jobs: b.plan.Curve})
	if err != nil {
		return result, err
	}
	if result, err = r.drain(ctx); err != nil {
		return result, err
	}
	// what we take for the end must be what the system itself does
	l, err := p.call(ctx, "left")
	if err == nil && (l.Left == nil || *l.Left != 0) {
		err = fmt.Errorf("when all jobs are done it says %+v", l)
	}
	return result, err
}

// newGraph takes the rate of thirty spans.
func newGraph(name string, done []point) graph {
	const spans = 30
	last := done[len(done)-1]
	g := graph{name: name, end: last.at}
	jobs := last.done / spans
	for i := range spans {
		from, to := timeOf(done, jobs*float64(i)), timeOf(done, jobs*float64(i+1))
		if to > from {
			g.rate = append(g.rate, point{(from + to) / 2, jobs / (to - from)})
		}
	}
	return g
}

// What the picture is like.
const (
	width, height            = 800, 420
	left, right, top, bottom = 70, 20, 40, 60
)

var colours = []string{"#1b6ca8", "#c0392b", "#2e8b57", "#8e5ea2"}

// draw makes a picture in SVG.
func draw(graphs []graph) string {
	longest, fastest := 0.0, 0.0
	for _, g := range graphs {
		longest = max(longest, g.end)
		for _, p := range g.rate {
			fastest = max(fastest, p.done)
		}
	}
	stepX, stepY := step(longest), step(fastest)
	endX, endY := math.Ceil(longest/stepX)*stepX, math.Ceil(fastest/stepY)*stepY
	x := func(at float64) float64 { return left + at/endX*(width-left-right) }
	y := func(rate float64) float64 { return height - bottom - rate/endY*(height-top-bottom) }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for v := 0.0; v <= endY; v += stepY {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%[3]f" stroke="#ddd"/>`+"\n", left, width-right, y(v))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-8, y(v)+4, lab.Digits(v))
	}
	for v := 0.0; v <= endX; v += stepX {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(v), height-bottom+20, lab.Digits(v))
	}
	fmt.Fprintf(&b, `<text x="%d" y="20">jobs/s</text>`+"\n", left-50)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">seconds since the drain began</text>`+"\n", width-right, height-bottom+40)
	for i, g := range graphs {
		colour := colours[i%len(colours)]
		var line strings.Builder
		for _, p := range g.rate {
			fmt.Fprintf(&line, "%.1f,%.1f ", x(p.at), y(p.done))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.TrimSpace(line.String()), colour)
		fmt.Fprintf(&b, `<text x="%d" y="20" fill="%s">%s</text>`+"\n", left+50+i*150, colour, html.EscapeString(g.name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// step is a round number, of which the greatest value has a few.
func step(greatest float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(max(greatest, 1))))
	for _, part := range []float64{0.2, 0.5, 1} {
		if greatest/(power*part) <= 8 {
			return power * part
		}
	}
	return 2 * power
}
