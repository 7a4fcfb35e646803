package spmd

// String is the text of a whole program, which ParseProgram reads.
func (p *Program) String() string {
	var w printer
	t := p.Target
	w.f("program %s {\n", printName(p.Name))
	w.f("  target %s lanes %d registers %d l1 %d l2 %d members %d", printName(t.Name), t.Lanes, t.Registers, t.L1, t.L2, t.Members)
	if t.Dot != DotSigned {
		w.f(" dot %v", t.Dot)
	}
	if t.Tiles {
		w.WriteString(" tiles")
	}
	if t.Quads {
		w.WriteString(" quads")
	}
	if t.Scratch != 0 {
		w.f(" scratch %d", t.Scratch)
	}
	if t.LaneBytes != 0 {
		w.f(" lanebytes %d", t.LaneBytes)
	}
	w.WriteString("\n")
	w.f("  bytes weights %d work %d team %d slot %d\n", p.WeightBytes, p.WorkBytes, p.TeamBytes, p.SlotBytes)
	w.f("  logits stride %d vocab %d\n", p.LogitsStride, p.Vocab)
	w.f("  max rows %d seqs %d\n", p.MaxRows, p.MaxSeqs)
	for _, ph := range p.Phases {
		w.phase(p, ph)
	}
	w.WriteString("}\n")
	for _, k := range p.Kernels {
		if k != nil {
			w.WriteString("\n")
			w.kernel(k)
		}
	}
	return w.String()
}

func (w *printer) phase(p *Program, ph Phase) {
	w.f("  phase %s", printName(ph.Name))
	if ph.MinRows != 0 {
		w.f(" minrows %d", ph.MinRows)
	}
	if ph.MinChosen != 0 {
		w.f(" minchosen %d", ph.MinChosen)
	}
	w.WriteString(" {\n")
	for _, l := range ph.Launches {
		if l.Kernel >= 0 && l.Kernel < len(p.Kernels) && p.Kernels[l.Kernel] != nil {
			w.f("    launch %s", printName(p.Kernels[l.Kernel].Name))
		} else {
			w.f("    launch %d", l.Kernel)
		}
		w.f(" grid %d", l.Grid.Panels)
		switch l.Grid.By {
		case ByOne:
		case ByRowBlocks:
			w.f(" by rows / %d", l.Grid.Block)
		case BySeqs:
			w.WriteString(" by seqs")
		case ByOutBlocks:
			w.f(" by outs / %d", l.Grid.Block)
		}
		if l.Grid.Least != 0 {
			w.f(" least %d", l.Grid.Least)
		}
		if l.Grid.Most != 0 {
			w.f(" most %d", l.Grid.Most)
		}
		w.WriteString(" args")
		for _, a := range l.Args {
			w.f(" %d", a)
		}
		if l.Note != "" {
			w.f(" note %s", printName(l.Note))
		}
		w.WriteString("\n")
	}
	w.WriteString("  }\n")
}
