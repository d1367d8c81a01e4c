// Package netns finds, tells apart and enters Linux network namespaces.
//
// A namespace is named by its identity, "net:[4026532281]", the text of the links
// under /proc/PID/ns. The number is an inode of nsfs: no two namespaces that live
// at the same time share it, but the kernel hands it out again once its owner is
// gone. Who must know whether it is still the same namespace compares the
// [Cookie], which is never used twice while a kernel runs.
//
// Everything here is read-only. Outside of Linux every function returns an error
// that wraps errors.ErrUnsupported.
package netns
