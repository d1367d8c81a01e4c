package uml

import (
	"fmt"
	"io"
)

// cpio writes an archive in the "newc" format of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst: a header of thirteen
// hexadecimal fields, the name, the content, both padded to four bytes.
type cpio struct {
	w     io.Writer
	inode int
	err   error
}

// Modes, as in stat(2).
const (
	modeFile = 0o100755
	modeDir  = 0o040755
	modeChar = 0o020600
)

func (c *cpio) dir(name string) { c.entry(name, modeDir, 0, 0, nil) }

func (c *cpio) file(name string, content []byte) { c.entry(name, modeFile, 0, 0, content) }

func (c *cpio) charDevice(name string, major, minor int) { c.entry(name, modeChar, major, minor, nil) }

// close writes the entry that ends the archive, and returns the first error.
func (c *cpio) close() error {
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}

func (c *cpio) entry(name string, mode, major, minor int, content []byte) {
	c.inode++
	links := 1
	if mode == modeDir {
		links = 2
	}
	header := "070701"
	for _, field := range []int{
		c.inode, mode, 0, 0, links, 0, len(content), // ino, mode, uid, gid, nlink, mtime, filesize
		0, 0, major, minor, len(name) + 1, 0, // dev, rdev, namesize, check
	} {
		header += fmt.Sprintf("%08x", field)
	}
	c.write([]byte(header + name + "\x00"))
	c.pad(len(header) + len(name) + 1)
	c.write(content)
	c.pad(len(content))
}

func (c *cpio) pad(n int) { c.write(make([]byte, -n&3)) }

func (c *cpio) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}
