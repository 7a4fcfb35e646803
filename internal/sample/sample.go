// Package sample is how a token is chosen from logits: the definition, to the bit, of what the last phase of a compiled step does (docs/kernel-language.md,
// "The choice of a token"). All numbers are float32, and sums have the order of the kernel language.
package sample

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/ssmc/ssmc/internal/f32"
)

// Params say how one token is chosen. They lie so in memory, where compiled code reads them.
type Params struct {
	Temperature float32 // what logits are divided by; not above 0: the largest is chosen
	TopK        int32   // only so many; 0: all
	TopP        float32 // only the most probable ones that together have this probability; 0 or 1: all
	U           float32 // the random number, from 0 to below 1
}

// Words are the parameters as 32-bit words.
func (p Params) Words() [4]int32 {
	return [4]int32{int32(math.Float32bits(p.Temperature)), p.TopK, int32(math.Float32bits(p.TopP)), int32(math.Float32bits(p.U))}
}

// None is what is chosen where logits are not finite.
const None = -1

const (
	block   = 512 // ids whose weights are summed together for the draw
	smaller = 16  // and within these
	lowest  = -87 // exponents below it count as 0
)

// Greedy gives the index of the largest logit, of equal ones the first. None: one is NaN or +Inf, or all are -Inf.
func Greedy(logits []float32) int32 {
	best, at := float32(math.Inf(-1)), int32(None)
	for i, l := range logits {
		if l != l || l > math.MaxFloat32 {
			return None
		}
		if l > best {
			best, at = l, int32(i)
		}
	}
	return at
}

// Chooser keeps the working memory of Choose. It is not safe for several goroutines at once.
type Chooser struct {
	weights []float32 // by id
	order   []int32   // ids, the largest weight first, of equal ones the lower id
	rank    []int32   // by id: its place in the order
}

// Choose gives the id that is chosen, or None.
func (c *Chooser) Choose(logits []float32, p Params) int32 {
	best := Greedy(logits)
	if best == None || !(p.Temperature > 0) || p.TopK == 1 {
		return best
	}
	c.weigh(logits, logits[best], p.Temperature)
	kept := len(logits)
	cut := p.TopP > 0 && p.TopP < 1
	if p.TopK > 0 && int(p.TopK) < kept || cut {
		c.sort()
	}
	if p.TopK > 0 {
		kept = min(kept, int(p.TopK))
	}
	if cut {
		goal := float32(p.TopP * c.sum(kept)) // above 0: the largest weight is 1
		kept = sort.Search(kept, func(n int) bool { return c.sum(n) >= goal })
	}
	if kept < len(logits) {
		for _, id := range c.order[kept:] {
			c.weights[id] = 0
		}
	}
	return draw(c.weights, p.U)
}

// weigh makes the weights exp((l - largest) / temperature).
func (c *Chooser) weigh(logits []float32, largest, temperature float32) {
	r := f32.Min(1/temperature, math.MaxFloat32)
	c.weights = c.weights[:0]
	for _, l := range logits {
		w, x := float32(0), float32(float32(l-largest)*r)
		if x >= lowest {
			w = f32.Exp(x)
		}
		c.weights = append(c.weights, w)
	}
}

func (c *Chooser) sort() {
	c.order, c.rank = c.order[:0], slices.Grow(c.rank[:0], len(c.weights))[:len(c.weights)]
	for i := range c.weights {
		c.order = append(c.order, int32(i))
	}
	slices.SortFunc(c.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(c.weights[b], c.weights[a]), cmp.Compare(a, b))
	})
	for place, id := range c.order {
		c.rank[id] = int32(place)
	}
}

// sum is the sum of the first n weights of the order: the sums of the blocks, one after the other.
func (c *Chooser) sum(n int) float32 {
	total := float32(0)
	for from := 0; from < len(c.weights); from += block {
		var sum [f32.Lanes]float32
		for id := from; id < min(from+block, len(c.weights)); id++ {
			if n == len(c.weights) || int(c.rank[id]) < n {
				sum[id%f32.Lanes] += c.weights[id]
			}
		}
		total += f32.Fold(&sum)
	}
	return total
}

// draw gives the id at which the running sum of the weights, in the order of ids, passes u times their sum. It goes by blocks, then by sixteens, then by ids.
func draw(weights []float32, u float32) int32 {
	var blocks []float32
	total := float32(0)
	for part := range slices.Chunk(weights, block) {
		blocks = append(blocks, f32.Sum16(part))
		total += blocks[len(blocks)-1]
	}
	target := float32(f32.Max(u, 0) * total)
	at, before := pass(blocks, 0, target)
	part := weights[at*block : min((at+1)*block, len(weights))]
	var sums []float32
	for few := range slices.Chunk(part, smaller) {
		sums = append(sums, f32.Sum16(few))
	}
	in, before := pass(sums, before, target)
	one, _ := pass(part[in*smaller:min((in+1)*smaller, len(part))], before, target)
	return int32(at*block + in*smaller + one)
}

// pass gives the place of the weight by which the running sum, from before on, passes the target, and the sum before it. If rounding keeps it from passing, that is
// the last one that is not 0.
func pass(weights []float32, before, target float32) (at int, sum float32) {
	sum = before
	running := before
	for i, w := range weights {
		if running <= target && w > 0 {
			at, sum = i, running
		}
		running += w
	}
	return at, sum
}
