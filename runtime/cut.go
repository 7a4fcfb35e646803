package runtime

// part is the tokens from to to of one input, as one sequence of a step.
type part struct{ input, from, to int }

// chunkRows is what the kernels that work through a sequence in chunks take at a time. Cuts fall between chunks.
const chunkRows = 64

// cut distributes sequences of these lengths over steps of at most maxRows rows and maxSeqs sequences.
//
// A sequence is cut at multiples of one length, the largest step that is a multiple of chunkRows, counted from its own first token; never to fill up a
// step that another sequence has begun. So its parts, and with them which kernel sees which rows, are the same alone and in any company: that is why the
// results are. What is lost is little: only steps that hold a part of a long prompt can have room left.
func cut(lengths []int, maxRows, maxSeqs int) [][]part {
	longest := maxRows
	if maxRows >= chunkRows {
		longest = maxRows / chunkRows * chunkRows
	}
	var steps [][]part
	done := make([]int, len(lengths))
	for {
		var step []part
		rows := 0
		for i, n := range lengths {
			take := min(n-done[i], longest)
			if take == 0 || rows+take > maxRows || len(step) == maxSeqs {
				continue
			}
			step = append(step, part{i, done[i], done[i] + take})
			done[i] += take
			rows += take
		}
		if step == nil {
			return steps
		}
		steps = append(steps, step)
	}
}
