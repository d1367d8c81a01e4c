// Package uml runs a Go test binary as the init of user-mode Linux: a kernel that is
// an ordinary program, and brings what the machine's own kernel may lack. It needs
// neither root nor virtualization.
//
// The host side, [Machine.Run], packs the binary, its arguments and the kernel
// modules that it wants into an initramfs, boots it and returns what it printed. The
// guest side, [Guest], is what TestMain calls when it finds itself to be process 1.
package uml
