package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/internal/sample"
)

// Options of Open. The zero value is what most want.
type Options struct {
	Threads int    // worker threads; 0: as many as the process may use at once
	Level   string // a CPU level of the object code, "x86-64-v3"; empty: the best that this CPU has

	flush bool // tests: memory ends where the next page must not be touched
}

// maxThreads is more than any machine of today has; it bounds what a typing error can reserve.
const maxThreads = 1024

// Model is an open artefact.
type Model struct {
	Manifest *artifact.Manifest
	Dir      string
	Level    string // the CPU level that runs
	Threads  int

	mu      sync.Mutex // one step at a time
	code    *code
	weights []byte // the mapped file
	ctx     *stepContext
	areas   areas
	slots   slotTable
	workers workers
	trace   tracer
	clamps  saturation
	closed  bool
}

// areas are the mappings that ctx points to.
type areas struct {
	ctx, work, team, logits           area
	ids, seqStart, seqSlot, outRow    area
	idList, startList, slotList, outs []int32 // the same, as Go sees them
	sampling, chosen                  area
	samplingList, chosenList          []int32
}

// Open loads the artefact in dir. It does not compute the checksum of the weights: see artifact.Manifest.VerifyFiles.
func Open(dir string, o Options) (*Model, error) {
	manifest, err := artifact.Read(dir)
	if err != nil {
		return nil, err
	}
	m := &Model{Manifest: manifest, Dir: dir, Threads: o.Threads}
	if o.Threads == 0 {
		m.Threads = goruntime.GOMAXPROCS(0)
	}
	if m.Threads < 1 || m.Threads > maxThreads {
		return nil, fmt.Errorf("%d threads\n  fix: give a number from 1 to %d", o.Threads, maxThreads)
	}
	if err := m.open(o); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Model) open(o Options) error {
	if m.Manifest.Target.GPU != nil {
		return fmt.Errorf("%s is compiled for %s, and this ssmc runs models on CPUs only\n  fix: compile it with --target x86-64, or launch %s yourself, as %s says", m.Dir,
			m.Manifest.Target.Name, artifact.PTXFile, artifact.HeaderFile)
	}
	var err error
	if m.code, err = loadCode(filepath.Join(m.Dir, artifact.SharedFile), m.Manifest.Entry.Prefix); err != nil {
		return err
	}
	if err := m.code.compare(m.Manifest); err != nil {
		return fmt.Errorf("%s: %w\n  fix: compile the checkpoint again", m.Dir, err)
	}
	index, err := m.code.chooseLevel(o.Level, m.Manifest.Target.Levels)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Dir, err)
	}
	m.Level = m.Manifest.Target.Levels[index].Name
	data, err := m.mapWeights()
	if err != nil {
		return err
	}
	if err := m.mapAreas(o.flush); err != nil {
		return err
	}
	*m.ctx = stepContext{
		abi: artifact.ABIVersion, level: int32(index), weights: data,
		work: m.areas.work.address(), team: m.areas.team.address(), logits: m.areas.logits.address(),
		ids: m.areas.ids.address(), seqStart: m.areas.seqStart.address(), seqSlot: m.areas.seqSlot.address(), outRow: m.areas.outRow.address(),
		sampling: m.areas.sampling.address(), odds: m.areas.logits.address(), // who has a token chosen wants no logits
		spin: spinRounds(m.Threads),
	}
	return nil
}

// mapWeights maps the weights file and gives the address of its data. The header is only as long as the two numbers say: the packed tensors are the code's
// business, not ours.
func (m *Model) mapWeights() (uintptr, error) {
	path := filepath.Join(m.Dir, artifact.WeightsFile)
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	want, _ := m.Manifest.File(artifact.WeightsFile)
	head := info.Size() - m.Manifest.Weights.Bytes
	if !info.Mode().IsRegular() || info.Size() != want.Bytes || head < 8 {
		return 0, fmt.Errorf("%s has %d bytes, the manifest says %d, of which %d are weights\n  fix: the file is damaged or truncated; compile the checkpoint again",
			path, info.Size(), want.Bytes, m.Manifest.Weights.Bytes)
	}
	m.weights, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("mapping %s into memory: %w", path, err)
	}
	// Pages that are read from now on come 2 MB at a time, where the system can; those that are in memory are mapped so if they were written so. (Not WILLNEED: it
	// reads at once, but in small pages.)
	_ = unix.Madvise(m.weights, unix.MADV_HUGEPAGE)
	length := *(*uint64)(unsafe.Pointer(unsafe.SliceData(m.weights)))
	if length != uint64(head-8) || head%64 != 0 {
		return 0, fmt.Errorf("%s: the header has %d bytes, must have %d\n  fix: the file is damaged; compile the checkpoint again", path, length, head-8)
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.weights))) + uintptr(head), nil
}

// mapAreas reserves what steps work on. Only pages that are used become memory, so that the largest step costs nothing until it is taken.
func (m *Model) mapAreas(flush bool) error {
	s := m.Manifest.Sizes
	a := &m.areas
	var errs []error
	for _, area := range []struct {
		to   *area
		what string
		n    int64
	}{
		{&a.ctx, "the context", int64(unsafe.Sizeof(stepContext{}))},
		{&a.work, "activations", s.WorkBytes},
		{&a.team, "the workers' scratch", s.TeamBytes * int64(m.Threads)},
		{&a.logits, "logits", s.MaxRows * s.LogitsStride * 4},
		{&a.ids, "token ids", s.MaxRows * 4},
		{&a.seqStart, "sequences", (s.MaxSeqs + 1) * 4},
		{&a.seqSlot, "sequences", s.MaxSeqs * 4},
		{&a.outRow, "output rows", s.MaxRows * 4},
		{&a.sampling, "parameters of sampling", s.MaxRows * 4 * int64(len(sample.Params{}.Words()))},
		{&a.chosen, "chosen tokens", s.MaxRows * 4},
	} {
		var err error
		*area.to, err = mapArea(area.what, area.n, flush)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.ctx = (*stepContext)(unsafe.Pointer(unsafe.SliceData(a.ctx.memory)))
	a.idList, a.startList, a.slotList, a.outs = a.ids.int32s(), a.seqStart.int32s(), a.seqSlot.int32s(), a.outRow.int32s()
	a.samplingList, a.chosenList = a.sampling.int32s(), a.chosen.int32s()
	return nil
}

// Close ends the worker threads and gives everything back. Slots of the model must not be used afterwards.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.stopWorkers()
	a := &m.areas
	for _, area := range []area{a.ctx, a.work, a.team, a.logits, a.ids, a.seqStart, a.seqSlot, a.outRow, a.sampling, a.chosen} {
		area.free()
	}
	m.slots.memory.free()
	m.trace.memory.free()
	m.ctx = nil
	var err error
	if m.weights != nil {
		err = unix.Munmap(m.weights)
	}
	return errors.Join(err, m.code.unload())
}

// errClosed is what a closed model answers.
var errClosed = errors.New("the model is closed")
