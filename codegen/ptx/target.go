package ptx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// warp is how many threads a member of a team has, and so how many lanes.
const warp = 32

// gpu is what is known of a compute capability.
type gpu struct {
	name   string // "sm_80"
	isa    string // of PTX; the lowest driver that reads it follows from it
	shared int64  // bytes of shared memory that a block can have
	l2     int    // bytes of second-level cache
	sms    int    // of the largest chip
	quads  bool   // there are wgmma and copies of many bytes
}

// gpus is every compute capability that we emit code for.
var gpus = [...]gpu{
	{name: "sm_80", isa: "7.8", shared: 163 << 10, l2: 40 << 20, sms: 108},               // A100
	{name: "sm_86", isa: "7.8", shared: 99 << 10, l2: 6 << 20, sms: 84},                  // A40, RTX 30
	{name: "sm_89", isa: "7.8", shared: 99 << 10, l2: 72 << 20, sms: 142},                // L40, RTX 40
	{name: "sm_90a", isa: "8.0", shared: 227 << 10, l2: 50 << 20, sms: 132, quads: true}, // H100
}

// Prefix begins the names of targets on the command line and in manifests.
const Prefix = "ptx:"

// A block is eight warps, one a multiprocessor: each thread can have 255 registers, and a grid barrier has as few blocks to wait for as possible.
const (
	blockThreads = 256
	registers    = 255
	laneBytes    = 16 // the widest load of a lane
)

func find(target string) (gpu, error) {
	i := slices.IndexFunc(gpus[:], func(g gpu) bool { return Prefix+g.name == target })
	if i < 0 {
		return gpu{}, fmt.Errorf("GPU target %.40q is unknown\n  fix: use one of %s", target, strings.Join(Names(), ", "))
	}
	return gpus[i], nil
}

// Names lists the targets: "ptx:sm_80" and so on.
func Names() []string {
	var list []string
	for _, g := range gpus {
		list = append(list, Prefix+g.name)
	}
	return list
}

// Target describes a GPU to the builders of kernels. A worker is one warp; its caches are its share of what the eight of a multiprocessor have.
func Target(name string) (spmd.Target, error) {
	g, err := find(name)
	if err != nil {
		return spmd.Target{}, err
	}
	const teams = blockThreads / warp
	return spmd.Target{Name: name, Lanes: warp, Registers: registers, L1: 128 << 10 / teams, L2: g.l2 / (g.sms * teams), Members: teams, Dot: spmd.DotUnsigned, Tiles: true, Quads: g.quads, Scratch: int(g.sharedTeam(teams)), LaneBytes: laneBytes}, nil
}

// sharedTeam is how much shared memory one team of a block can have, in whole lines.
func (g gpu) sharedTeam(members int) int64 {
	return g.shared / teamsOf(members) &^ (line - 1)
}

// teamsOf is how many teams a block has at most.
func teamsOf(members int) int64 { return max(1, blockThreads/warp/int64(members)) }
