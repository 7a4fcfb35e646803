package ptx

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Where b lies in runs of four groups, a lane loads a run at once: 16 bytes of one column, and the 16 bytes of its row of a that belong to them. A sum of
// products of bytes may be formed in any order, so the groups that an mma.sync takes for its first and second are those that the four lanes of a column
// happen to hold: of a chunk of 16 groups, lane t has groups 4t to 4t+3, the first two for one mma.sync and the last two for another.
const (
	runGroups   = 4               // groups of four bytes in a run
	chunkGroups = 4 * runGroups   // what the four lanes of a column hold
	chunkSteps  = runGroups / 2   // mma.sync of a tile over a chunk
	runBytes    = 4 * runGroups   // of a lane
	chunkBytes  = 4 * chunkGroups // of a row of a
)

// runs is a product whose b lies in runs.
type runs struct{ *product }

// chunk is what a lane holds of a chunk: four words of its row, four of the row eight below, and four of a column for each tile.
type chunk struct {
	a [2][runGroups]string
	b [][runGroups]string
}

// runSteps goes through K in chunks, several at once where their number is known, then does what remains.
func (m *product) runSteps() {
	r := runs{m}
	k, known := m.in.Args[3].Const()
	if !known {
		groups := m.val32(m.in.Args[3])
		r.loop(m.to(word, "shr.u32", groups, "4"), 1)
		rest := m.to(word, "and.b32", groups, fmt.Sprint(chunkGroups-1))
		over := m.label("end")
		none := m.to(truth, "setp.eq.s32", rest, "0")
		m.op("@%s bra.uni %s", none, over)
		c := r.zero()
		r.loadRest(c, 0, rest)
		r.multiply(c)
		m.at(over)
		return
	}
	n, rest := k/chunkGroups, k%chunkGroups
	pairs := n / 2
	if n <= 3 { // all of it at once
		pairs = 0
	}
	if pairs > 0 {
		r.loop(fmt.Sprint(pairs), 2)
	}
	r.straight(int(n-2*pairs), rest)
}

// straight does so many chunks, and one of so many groups, without a loop.
func (m runs) straight(n int, rest int64) {
	var chunks []*chunk
	for i := range n {
		chunks = append(chunks, m.zero())
		m.load(chunks[i], int64(i))
	}
	if rest > 0 {
		chunks = append(chunks, m.zero())
		m.loadRest(chunks[n], int64(n), fmt.Sprint(rest))
	}
	for _, c := range chunks {
		m.multiply(c)
	}
}

// loop does n times so many chunks: all are loaded before the first is multiplied.
func (m runs) loop(n string, at int) {
	chunks := make([]*chunk, at)
	for i := range chunks {
		chunks[i] = m.zero()
	}
	m.repeat(n, int64(at)*chunkBytes, int64(at)*chunkGroups/runGroups*m.in.Strides.B, func() {
		for i, c := range chunks {
			m.load(c, int64(i))
		}
		for _, c := range chunks {
			m.multiply(c)
		}
	})
}

// zero makes the registers of a chunk. Rows that are not there stay 0 all the time.
func (m runs) zero() *chunk {
	c := &chunk{b: make([][runGroups]string, m.tiles)}
	for half := range c.a {
		for i := range c.a[half] {
			c.a[half][i] = m.to(word, "mov.b32", "0")
		}
	}
	for t := range c.b {
		for i := range c.b[t] {
			c.b[t][i] = m.reg(word)
		}
	}
	return c
}

// load fills a chunk, the one that lies so many further on.
func (m runs) load(c *chunk, at int64) {
	s := m.in.Strides
	for half, mask := range [...]string{m.above, m.below} {
		m.fetch16(c.a[half], 1, m.a, at*chunkBytes+int64(half)*8*s.A, mask)
	}
	for t := range c.b {
		m.fetch16(c.b[t], 2, m.b, at*chunkGroups/runGroups*s.B+int64(t)*mmaCols*runBytes, "")
	}
}

// loadRest fills the chunk that lies so many further on and has fewer groups. Of a only they are touched, of b the runs that they are in.
func (m runs) loadRest(c *chunk, at int64, groups string) {
	s := m.in.Strides
	first := m.to(word, "shl.b32", m.column, "2")
	for i := range runGroups {
		there := m.to(truth, "setp.lt.s32", m.to(word, "add.s32", first, fmt.Sprint(i)), groups)
		for half, mask := range [...]string{m.above, m.below} {
			both := m.to(truth, "and.pred", mask, there)
			m.fetch4(c.a[half][i], 1, field(m.a, at*chunkBytes+int64(half)*8*s.A+int64(4*i)), both)
		}
	}
	there := m.to(truth, "setp.lt.s32", first, groups)
	for t := range c.b {
		for i := range c.b[t] {
			m.op("mov.b32 %s, 0", c.b[t][i])
		}
		m.fetch16(c.b[t], 2, m.b, at*chunkGroups/runGroups*s.B+int64(t)*mmaCols*runBytes, there)
	}
}

// fetch16 loads sixteen bytes of operand i, a word or a byte at a time if they may begin anywhere.
func (m runs) fetch16(d [runGroups]string, i int, base string, at int64, mask string) {
	if !m.aligned16[i-1] {
		for j, r := range d {
			m.fetch4(r, i, field(base, at+int64(4*j)), mask)
		}
		return
	}
	guard := ""
	if mask != "" {
		guard = "@" + mask + " "
	}
	m.op("%s%s {%s}, %s", guard, m.name("ld", i, "v4.b32"), strings.Join(d[:], ", "), field(base, at))
}

func (m runs) multiply(c *chunk) {
	for step := range chunkSteps {
		for t, b := range c.b {
			sums := strings.Join(m.sums[4*t:4*t+4], ", ")
			a := []string{c.a[0][2*step], c.a[1][2*step], c.a[0][2*step+1], c.a[1][2*step+1]}
			m.op("%s {%s}, {%s}, {%s, %s}, {%s}", mmaName, sums, strings.Join(a, ", "), b[2*step], b[2*step+1], sums)
		}
	}
}

// inRuns says that b lies in runs.
func inRuns(in *spmd.Instr) bool { return in.Strides.Run > 1 }
