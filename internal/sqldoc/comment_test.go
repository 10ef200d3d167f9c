package main

import (
	"reflect"
	"testing"
)

func TestCommentIsTakenApart(t *testing.T) {
	got, err := parseComment("Do it.\nNow: at once.\nhow: well:\nor better.\nReturns what\nit did.\nwhen: then.\nRaises PJ001 (a, b),\n23505 (c).")
	want := comment{
		does:    "Do it. Now: at once.",
		items:   map[string]string{"how": "well: or better.", "when": "then."},
		returns: "what it did.",
		raises:  []raised{{"PJ001", "a, b"}, {"23505", "c"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
}

func TestRaisesNeedsCodesAndWhen(t *testing.T) {
	for _, text := range []string{"PJ001.", "PJ001 (a)", "PJ001 (a) PJ002 (b).", "PJ1 (a).", "PJ001 ().", "PJ001 (a (b)).", "pj001 (a)."} {
		if got, err := parseComment("Do it.\nRaises " + text); err == nil {
			t.Errorf("%s: got %v, want an error", text, got.raises)
		}
	}
}

func TestContentsLeaveOutWhatIsCode(t *testing.T) {
	got := contents("# Page\n## Worker protocol\n### procrastinate_beat\n### Table procrastinate_jobs\n```sql\n## no\n```\n## SQLSTATEs\n")
	want := "- [Worker protocol](#worker-protocol): [beat](#procrastinate_beat),\n  [jobs](#table-procrastinate_jobs)\n- [SQLSTATEs](#sqlstates)"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
