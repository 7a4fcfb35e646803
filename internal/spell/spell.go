// Package spell finds what a misspelled name was meant to be, for error messages.
package spell

// Nearest is the candidate that name was probably meant to be: the one with the smallest edit distance, the first of
// several, or "" if none is near (more than a third of the longer name would have to change).
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", 0
	for _, candidate := range candidates {
		longer := max(len(name), len(candidate))
		// Two names whose lengths differ by more than a third cannot be near; this also bounds the work for hostile names.
		if longer > 256 || 3*(longer-min(len(name), len(candidate))) > longer {
			continue
		}
		distance := editDistance(name, candidate)
		if 3*distance <= longer && (best == "" || distance < bestDistance) {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// editDistance is the number of bytes to insert, delete or replace to make b of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of the prefix of a so far to all prefixes of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
