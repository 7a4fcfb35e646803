package emu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// Arg is the value of a kernel's parameter.
type Arg struct{ bytes []byte }

func argOf(v uint64, n int) Arg {
	b := make([]byte, n)
	put(b, v)
	return Arg{b}
}

// U32 is a parameter of four bytes.
func U32(x uint32) Arg { return argOf(uint64(x), 4) }

// U64 is a parameter of eight bytes: an integer or an address.
func U64(x uint64) Arg { return argOf(x, 8) }

// F32 is a parameter that is a float.
func F32(x float32) Arg { return U32(math.Float32bits(x)) }

// Bytes is a parameter that is an array.
func Bytes(b []byte) Arg { return Arg{b} }

// launch is a kernel that runs.
type launch struct {
	d           *Device
	on          *loaded
	m           *Module
	kernel      *function
	grid, block [3]int
	params      []byte
	sharedBytes int64
	dynamic     int64
	clocks      *clocks
	rng         *rand.Rand
	races       bool

	count   int64 // warp instructions
	lanes   int64
	serial  uint32 // of stores
	changes int64  // to memory
}

// Launch runs a kernel, block after block. sharedBytes is dynamic shared memory.
func (d *Device) Launch(kernel string, grid, threads [3]int, sharedBytes int, params ...Arg) error {
	l, err := d.newLaunch(d.modules, kernel, grid, threads, sharedBytes, params)
	if err != nil {
		return err
	}
	l.races = d.Races
	l.clocks = newClocks(l.warps())
	b := newBlock(l, 0)
	for i := range grid[0] * grid[1] * grid[2] {
		l.clocks.restart()
		b.start(i)
		if err := l.run([]*block{b}); err != nil {
			return l.end(err)
		}
	}
	return l.end(nil)
}

// LaunchCooperative runs all blocks of a kernel at the same time, so that they may wait for each other.
func (d *Device) LaunchCooperative(kernel string, grid, threads [3]int, sharedBytes int, params ...Arg) error {
	return d.launchCooperative(d.modules, kernel, grid, threads, sharedBytes, params)
}

func (d *Device) launchCooperative(modules []*loaded, kernel string, grid, threads [3]int, sharedBytes int, params []Arg) error {
	l, err := d.newLaunch(modules, kernel, grid, threads, sharedBytes, params)
	if err != nil {
		return err
	}
	n := grid[0] * grid[1] * grid[2]
	if l.races = d.Races; l.races && n*l.warps() > 64 {
		return fmt.Errorf("kernel %s: %d blocks of %d warps: races on global memory are looked for among at most 64 warps", kernel, n, l.warps())
	}
	if n*l.warps() > 1<<12 {
		return fmt.Errorf("kernel %s: %d blocks of %d warps at the same time: at most %d warps", kernel, n, l.warps(), 1<<12)
	}
	l.clocks = newClocks(n * l.warps())
	l.clocks.restart()
	blocks := make([]*block, n)
	for i := range blocks {
		blocks[i] = newBlock(l, i*l.warps())
		blocks[i].start(i)
	}
	return l.end(l.run(blocks))
}

// newLaunch checks the shape of a launch of a kernel of one of the modules.
func (d *Device) newLaunch(modules []*loaded, kernel string, grid, threads [3]int, sharedBytes int, params []Arg) (*launch, error) {
	l := &launch{d: d, grid: grid, block: threads, rng: rand.New(rand.NewPCG(d.Seed, 1))}
	for _, on := range modules {
		if f := on.m.functions[kernel]; f != nil && f.entry && f.defined {
			l.on, l.m, l.kernel = on, on.m, f
		}
	}
	if l.kernel == nil {
		return nil, fmt.Errorf("no loaded module has a kernel %q", kernel)
	}
	l.dynamic = int64(sharedBytes)
	l.sharedBytes = l.m.sharedBytes
	if sharedBytes > 0 {
		l.sharedBytes = l.m.dynamicAt + l.dynamic
	}
	if err := l.checkShape(); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", kernel, err)
	}
	if err := l.setParams(params); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", kernel, err)
	}
	for _, a := range d.allocs {
		clear(a.dirty)
		if d.Races && !a.readOnly {
			a.shadow = &shadow{words: make([]cell, (len(a.data)+3)/4)}
		}
	}
	return l, nil
}

func (l *launch) warps() int {
	return (l.block[0]*l.block[1]*l.block[2] + lanes - 1) / lanes
}

func (l *launch) checkShape() error {
	limits := [3]int{1024, 1024, 64}
	gridLimits := [3]int{1<<31 - 1, 65535, 65535}
	threads, blocks := 1, 1
	for i := range 3 {
		if l.block[i] < 1 || l.block[i] > limits[i] || l.grid[i] < 1 || l.grid[i] > gridLimits[i] {
			return fmt.Errorf("grid %v of blocks %v: a block has at most %v threads", l.grid, l.block, limits)
		}
		threads *= l.block[i]
		blocks *= l.grid[i]
	}
	f := l.kernel
	atMost := 1024
	if f.maxBlock[0] > 0 {
		atMost = min(atMost, f.maxBlock[0]*f.maxBlock[1]*f.maxBlock[2])
	}
	switch limit := l.m.sharedLimit(); {
	case threads > atMost:
		return fmt.Errorf("%d threads in a block; at most %d", threads, atMost)
	case f.reqBlock[0] > 0 && f.reqBlock != l.block:
		return fmt.Errorf("blocks of %v; .reqntid wants %v", l.block, f.reqBlock)
	case l.dynamic < 0 || l.sharedBytes > limit:
		return fmt.Errorf("%d bytes of shared memory, %d of them dynamic; %s has %d", l.sharedBytes, l.dynamic, l.m.Target, limit)
	}
	return nil
}

// setParams lays the parameters out as the kernel declares them.
func (l *launch) setParams(params []Arg) error {
	if len(params) != len(l.kernel.params) {
		return fmt.Errorf("%d parameters; it has %d", len(params), len(l.kernel.params))
	}
	l.params = make([]byte, l.kernel.paramBytes)
	for i, a := range params {
		v := l.kernel.params[i].variable
		if int64(len(a.bytes)) != v.bytes {
			return fmt.Errorf("parameter %d (%s) of %d bytes; it has %d", i, v.name, len(a.bytes), v.bytes)
		}
		copy(l.params[v.at:], a.bytes)
	}
	return nil
}

// address is where a variable lies, in its own space.
func (l *launch) address(v *variable, localBase int64) uint64 {
	switch v.space {
	case global:
		return l.on.globals[v]
	case local:
		return uint64(localBase + v.at)
	}
	return uint64(v.at)
}

func (l *launch) end(err error) error {
	s := &l.d.Stats
	s.Launches++
	s.WarpInstructions += l.count
	s.LaneInstructions += l.lanes
	for _, a := range l.d.allocs {
		a.shadow = nil
	}
	return err
}

// Turns of a warp, in instructions: long, for speed, unless a seed asks for many orders. A launch whose warps all spin for so many rounds, with no
// change in memory, hangs; a loop that comes to its strong access after more than longSpin instructions does not count as spinning.
const (
	longTurn  = 1 << 14
	drawnTurn = 64
	idleTurns = 1000
	longSpin  = 1 << 10
)

// run lets the warps of some blocks take turns until all have ended.
func (l *launch) run(blocks []*block) error {
	var warps []*warp
	for _, b := range blocks {
		warps = append(warps, b.warps...)
	}
	idle := 0
	for len(warps) > 0 {
		if l.d.Seed != 0 {
			l.rng.Shuffle(len(warps), func(i, j int) { warps[i], warps[j] = warps[j], warps[i] })
		}
		before, ran, spun := l.changes, false, true
		rest := warps[:0]
		for _, w := range warps {
			turn := longTurn
			if l.d.Seed != 0 {
				turn = 1 + l.rng.IntN(drawnTurn)
			}
			if w.run(turn) > 0 {
				ran = true
				spun = spun && w.spun
			}
			if w.err != nil {
				return w.err
			}
			if w.live != 0 {
				rest = append(rest, w)
			}
		}
		warps = rest
		if idle++; !spun || l.changes != before {
			idle = 0
		}
		switch {
		case len(warps) == 0:
		case !ran:
			return l.stuck(warps, "deadlock: no warp can go on")
		case idle > idleTurns:
			return l.stuck(warps, "livelock: warps spin on memory that nobody changes")
		case l.d.MaxInstructions > 0 && l.count > l.d.MaxInstructions:
			return l.stuck(warps, fmt.Sprintf("more than %d warp instructions", l.d.MaxInstructions))
		}
	}
	return nil
}

// stuck says where all warps are that have not ended.
func (l *launch) stuck(warps []*warp, what string) error {
	var lines []string
	for _, w := range warps {
		lines = append(lines, w.where()...)
	}
	const most = 40
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return fmt.Errorf("%s: kernel %s: %s:\n  %s", l.m.Name, l.kernel.name, what, strings.Join(lines, "\n  "))
}
