package amd64

import (
	"syscall"
	"unsafe"
)

// tilesAllowed says whether Linux lets processes use AMX's tiles (since 5.16), without asking for it.
func tilesAllowed() bool {
	const getSupported = 0x1021 // ARCH_GET_XCOMP_SUPP
	var features uint64
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, getSupported, uintptr(unsafe.Pointer(&features)), 0)
	return errno == 0 && features&(1<<xfeatureTileData) != 0
}
