//go:build !(linux && amd64)

package amd64

func tilesAllowed() bool { return false }
