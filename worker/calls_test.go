package worker

import (
	"reflect"
	"testing"
)

func TestResultsAreOneForEachJobOrNoneAtAll(t *testing.T) {
	some, none := &held{ending: ending{result: ptr("8")}}, &held{}
	if got := resultsOf([]*held{none, none}); got != nil {
		t.Errorf("got %v of handlers that returned nothing, want nil", got)
	}
	if got, want := resultsOf([]*held{none, some}), []*string{nil, ptr("8")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
