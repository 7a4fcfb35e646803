package loader

import "unsafe"

// pointerOf is the address of a mapping, to find it in /proc/self/smaps.
func pointerOf(data []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }
