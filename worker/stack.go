package worker

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
)

// goroutineID is the number under which the runtime prints this goroutine's stack, or 0. It tells it nowhere else.
func goroutineID() int64 {
	var buffer [64]byte
	text, _ := bytes.CutPrefix(buffer[:runtime.Stack(buffer[:], false)], []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte(" "))
	id, _ := strconv.ParseInt(string(number), 10, 64) // 0 finds no stack
	return id
}

// stackOf is the stack of another goroutine, cut to the size of an error text, or "" if it is gone. It stops the world to look.
func stackOf(id int64) string {
	all := make([]byte, 1<<20)
	for {
		n := runtime.Stack(all, true)
		if n < len(all) || n >= 64<<20 {
			all = all[:n]
			break
		}
		all = make([]byte, 2*len(all))
	}
	head := fmt.Appendf(nil, "goroutine %d [", id)
	for stack := range bytes.SplitSeq(all, []byte("\n\n")) {
		if bytes.HasPrefix(stack, head) {
			return cutText(cleanText(string(stack)), maxErrorBytes)
		}
	}
	return ""
}
