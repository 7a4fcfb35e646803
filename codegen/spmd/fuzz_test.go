package spmd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzParse: no text makes the parser, the verifier or the printer panic, and what is printed is read back to the same text.
func FuzzParse(f *testing.F) {
	for _, p := range testPrograms(f, 8) {
		f.Add(p.String())
	}
	for _, op := range []Op{OpQuadI8, OpQuadBF16, OpQuadTF32} {
		f.Add(quadProgram(f, op).String())
	}
	f.Add(gatherRuns(f, 8).String())
	f.Add("program p {\n}")
	f.Fuzz(func(t *testing.T, text string) { hostile(t, text) })
}

// hostile is how far a text gets: 0 refused, 1 parsed, 2 verified and run.
func hostile(t *testing.T, text string) int {
	p, err := ParseProgram(text)
	if err != nil {
		return 0
	}
	printed := p.String()
	q, err := ParseProgram(printed)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if again := q.String(); again != printed {
		t.Fatalf("printed again:\n%s\nnot\n%s", again, printed)
	}
	if p.Verify() != nil {
		return 1
	}
	runFuzzed(t, p)
	return 2
}

// TestMutations is what fuzzing by bytes seldom reaches: words of good programs exchanged for others of their kind, and lines left out or doubled.
func TestMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var texts []string
	for _, lanes := range []int{8, 16} {
		for _, p := range testPrograms(t, lanes) {
			texts = append(texts, p.String())
		}
	}
	for _, op := range []Op{OpQuadI8, OpQuadBF16, OpQuadTF32} {
		texts = append(texts, quadProgram(t, op).String())
	}
	var got [3]int
	for range 6000 {
		lines := strings.Split(texts[r.IntN(len(texts))], "\n")
		for range 1 + r.IntN(3) {
			i := r.IntN(len(lines))
			if r.IntN(12) == 0 {
				lines[i] = lines[r.IntN(len(lines))]
				continue
			}
			at := strings.Fields(lines[i])
			if len(at) > 0 {
				k := r.IntN(len(at))
				at[k] = otherWord(r, at[k], k)
				lines[i] = strings.Join(at, " ")
			}
		}
		got[hostile(t, strings.Join(lines, "\n"))]++
	}
	t.Logf("%d texts refused, %d parsed, %d run", got[0], got[1], got[2])
	if got[1] < 1000 || got[2] < 1000 {
		t.Errorf("%d parsed and %d ran: the mutations are too wild to test anything", got[1], got[2])
	}
}

// otherWord exchanges the word at position k of a line for another of its kind; results of instructions stay.
func otherWord(r *rand.Rand, word string, k int) string {
	pick := func(list string) string {
		words := strings.Fields(list)
		return words[r.IntN(len(words))]
	}
	types := "f32 <f32> i64 i32 <i32> bool <bool> *f32 *bf16"
	switch {
	case strings.HasPrefix(word, "%") && k > 0 && strings.Trim(word, "%0123456789") == "":
		return fmt.Sprintf("%%%d", r.IntN(24))
	case strings.Trim(word, "-0123456789") == "":
		return pick("0 1 -1 2 3 8 16 31 64 100 4096 9223372036854775807")
	case oneOf(types, word):
		return pick(types)
	case oneOf("work weights", word):
		return pick("work weights state ids logits")
	case word == "=" || word == "{" || word == "}":
		return word
	}
	for o := range ops {
		if ops[o].name == word && ops[o].sig != "" {
			return ops[r.IntN(len(ops))].name
		}
	}
	return word
}

// runFuzzed runs a verified program whose memory is small: faults are fine, panics are not.
func runFuzzed(t *testing.T, p *Program) {
	if p.WeightBytes+p.WorkBytes+p.TeamBytes > 1<<20 || p.SlotBytes > 1<<16 || p.LogitsStride > 1<<12 {
		return
	}
	m, err := NewMachine(p, make([]byte, p.WeightBytes), 2)
	if err != nil {
		t.Fatal(err)
	}
	m.Races, m.MaxLoops, m.Seed = true, 2000, 0
	in := oneSequence(int(min(3, p.MaxRows)))
	in.OutRow = []int32{0}
	_ = m.Step(p, in) // says what the program did wrong, if anything
}
