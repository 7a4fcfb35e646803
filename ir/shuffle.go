package ir

import "slices"

// Shuffle reorders ops that do not depend on each other, by a seed, so that no pass can come to depend on the order in which a family
// happens to be written. Groups stay together. It is what SSMC_CHECK=1 does before each pass.
func (f *Func) Shuffle(seed uint64) {
	r := splitmix(seed)
	var units [][]*Op // a group, or an op that is in none
	for i, op := range f.Ops {
		if i > 0 && op.Group != nil && op.Group == f.Ops[i-1].Group {
			units[len(units)-1] = append(units[len(units)-1], op)
			continue
		}
		units = append(units, []*Op{op})
	}
	for i, unit := range units {
		one := make([][]*Op, len(unit))
		for k, op := range unit {
			one[k] = []*Op{op}
		}
		units[i] = slices.Concat(randomOrder(one, &r)...)
	}
	f.Ops = slices.Concat(randomOrder(units, &r)...)
}

// Sort puts ops into an order in which definitions come before uses, and otherwise keeps the order they have. It says false, and changes
// nothing, if there is none because ops depend on each other in a circle. Groups stay together.
func (f *Func) Sort() bool {
	units := map[*Group]int{}
	var list [][]*Op
	for _, op := range f.Ops {
		i, ok := units[op.Group]
		if !ok || op.Group == nil {
			i = len(list)
			units[op.Group] = i
			list = append(list, nil)
		}
		list[i] = append(list[i], op)
	}
	for i, unit := range list {
		one := make([][]*Op, len(unit))
		for k, op := range unit {
			one[k] = []*Op{op}
		}
		list[i] = slices.Concat(randomOrder(one, nil)...)
	}
	sorted := slices.Concat(randomOrder(list, nil)...)
	if len(sorted) != len(f.Ops) {
		return false
	}
	f.Ops = sorted
	return true
}

// randomOrder lists units so that each comes after those it reads from: of several that could be next, a random one, or the first if r
// is nil. Units in a circle are left out.
func randomOrder(units [][]*Op, r *splitmix) [][]*Op {
	home := map[*Op]int{}
	for i, unit := range units {
		for _, op := range unit {
			home[op] = i
		}
	}
	waits := make([]int, len(units))
	readers := make([][]int, len(units))
	for i, unit := range units {
		for _, op := range unit {
			for _, a := range op.Args {
				if a == nil || a.Def == nil {
					continue
				}
				if j, ok := home[a.Def]; ok && j != i {
					waits[i]++
					readers[j] = append(readers[j], i)
				}
			}
		}
	}
	var ready []int // ascending if r is nil
	for i := range units {
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	out := make([][]*Op, 0, len(units))
	for len(ready) > 0 {
		k := 0
		if r != nil {
			k = int(r.next() % uint64(len(ready)))
		}
		i := ready[k]
		ready = slices.Delete(ready, k, k+1)
		out = append(out, units[i])
		for _, j := range readers[i] {
			if waits[j]--; waits[j] == 0 {
				at, _ := slices.BinarySearch(ready, j)
				ready = slices.Insert(ready, at, j)
			}
		}
	}
	return out
}
