package cuda

import (
	"fmt"
	"strings"
)

// release is a version of the PTX language: the CUDA release whose driver is the first to read it, and the branch of that driver.
type release struct {
	isa    string // ".version" of a module
	cuda   int32  // as cuDriverGetVersion gives it: 1000 * major + 10 * minor
	branch int    // of the Linux driver
}

// releases has a row for each version that a module may ask for. Sources: "PTX ISA", release notes, table "PTX Release History" (ISA and CUDA
// release); "CUDA Toolkit Release Notes", table "CUDA Toolkit and Corresponding Driver Versions" (branch of the driver for Linux).
var releases = [...]release{
	{"7.0", 11000, 450}, {"7.1", 11010, 455}, {"7.2", 11020, 460}, {"7.3", 11030, 465}, {"7.4", 11040, 470}, {"7.5", 11050, 495},
	{"7.6", 11060, 510}, {"7.7", 11070, 515}, {"7.8", 11080, 520}, {"8.0", 12000, 525}, {"8.1", 12010, 530}, {"8.2", 12020, 535},
	{"8.3", 12030, 545}, {"8.4", 12040, 550}, {"8.5", 12050, 555}, {"8.6", 12070, 565}, {"8.7", 12080, 570}, {"8.8", 12090, 575},
	{"9.0", 13000, 580},
}

// CheckVersion says whether a driver of this version reads modules of a version of PTX.
func CheckVersion(version int32, isa string) error {
	for _, r := range releases {
		if r.isa == isa && version >= r.cuda {
			return nil
		}
		if r.isa == isa {
			return fmt.Errorf("the CUDA driver is too old: it is for CUDA %s, and PTX %s needs one for CUDA %s\n  fix: install NVIDIA's driver %d or newer",
				versionText(version), isa, versionText(r.cuda), r.branch)
		}
	}
	return fmt.Errorf("PTX %.20q is not a version that this ssmc knows, from %s to %s\n  fix: compile the checkpoint again with this ssmc", isa, releases[0].isa, releases[len(releases)-1].isa)
}

// versionText is 12020 as "12.2".
func versionText(v int32) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// Header is what a module's first lines say.
type Header struct {
	Version string // of PTX: "7.8"
	Target  string // "sm_80"
}

// ReadHeader finds .version and .target of a PTX text. They come before everything but comments.
func ReadHeader(text string) (Header, error) {
	var h Header
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "//")
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch value = strings.TrimSpace(value); name {
		case "":
			continue
		case ".version":
			h.Version = value
		case ".target":
			h.Target = value
		}
		if h.Version != "" && h.Target != "" {
			return h, nil
		}
		if name[0] != '.' {
			break
		}
	}
	return h, fmt.Errorf("is no PTX module: it does not begin with .version and .target")
}
