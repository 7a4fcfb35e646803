package compare

import "fmt"

// Window is tokens that are run from the empty state. Those from Score on (at least 1) are predicted from the ones before them.
type Window struct {
	IDs   []int32
	Score int
}

// Windows cuts a text: a window begins every stride tokens, and what a window before has scored is not scored again. Only whole windows count; a text that
// is shorter than one is a window of its own. scored says of each token of the text whether it is in some window's score.
func Windows(ids []int32, window, stride int) (list []Window, scored []bool, err error) {
	if window < 2 || stride < 1 || stride > window {
		return nil, nil, fmt.Errorf("window %d with stride %d: a window has at least 2 tokens, and a stride is from 1 to the window", window, stride)
	}
	if window = min(window, len(ids)); window < 2 {
		return nil, nil, fmt.Errorf("a text of %d tokens has nothing to predict", len(ids))
	}
	scored = make([]bool, len(ids))
	end := 0 // behind the last token that was seen
	for from := 0; from+window <= len(ids); from += stride {
		first := max(end, from+1)
		list = append(list, Window{ids[from : from+window], first - from})
		end = from + window
		for i := first; i < end; i++ {
			scored[i] = true
		}
	}
	return list, scored, nil
}

// Spread keeps n windows, evenly spread over all; all if there are not so many, or n is 0.
func Spread(list []Window, n int) []Window {
	if n <= 0 || n >= len(list) {
		return list
	}
	out := make([]Window, n)
	for i := range out {
		at := 0
		if n > 1 {
			at = i * (len(list) - 1) / (n - 1)
		}
		out[i] = list[at]
	}
	return out
}
