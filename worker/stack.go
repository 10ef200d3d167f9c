package worker

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID is the number under which the runtime prints this goroutine's stack, or 0. It tells it nowhere else.
func goroutineID() int64 {
	var buffer [64]byte
	return goroutineOf(buffer[:runtime.Stack(buffer[:], false)])
}

// goroutineOf is the number at the head of a stack, or 0, which no goroutine has.
func goroutineOf(stack []byte) int64 {
	text, _ := bytes.CutPrefix(stack, []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte(" "))
	id, _ := strconv.ParseInt(string(number), 10, 64)
	return id
}

// stacksOf are the stacks of other goroutines, each cut to the size of an error text; "" if it is gone. It stops the world to look,
// once for all of them.
func stacksOf(ids []int64) map[int64]string {
	stacks := make(map[int64]string, len(ids))
	for _, id := range ids {
		stacks[id] = ""
	}
	all := make([]byte, 1<<20)
	for {
		n := runtime.Stack(all, true)
		if n < len(all) || n >= 64<<20 {
			all = all[:n]
			break
		}
		all = make([]byte, 2*len(all))
	}
	for stack := range bytes.SplitSeq(all, []byte("\n\n")) {
		id := goroutineOf(stack)
		if _, wanted := stacks[id]; wanted {
			stacks[id] = shorten(cleanText(string(stack)))
		}
	}
	return stacks
}
