package shaper

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vnetHeader is the size of struct virtio_net_hdr of linux/virtio_net.h, which
// stands before every frame: what is left to do to it, checksums and segmentation.
const vnetHeader = 10

// maxFrame is the largest frame: an IP packet, its Ethernet header with two VLAN
// tags, and the virtio header.
const maxFrame = 65535 + 22 + vnetHeader

// The room that the kernel has for frames that the shaper has not yet come to take,
// and for those on their way out, in bytes of kernel memory.
const (
	receiveBuffer = 64 << 20
	sendBuffer    = 32 << 20
)

// socket opens a packet socket of frames with virtio headers, bound to nothing.
func socket() (fd int, err error) {
	// Without a protocol a packet socket receives nothing.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open a packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return -1, errors.Join(fmt.Errorf("cannot ask a packet socket for virtio headers: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// capture opens a socket that receives what passes an interface with that mark.
func capture(index int, mark uint32) (fd int, err error) {
	fd, err = socket()
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot capture packets: %w", err), unix.Close(fd))
		}
	}()
	// SKF_AD_OFF + SKF_AD_MARK of linux/filter.h.
	const markOffset = -0x1000 + 20
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(0x1_0000_0000 + markOffset)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: mark},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return fd, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fd, err
	}
	// The kernel doubles the number, for its own bookkeeping.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer/2); err != nil {
		return fd, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
}

// inject opens a socket that sends marked packets on an interface.
func inject(index int, mark uint32) (fd int, err error) {
	fd, err = socket()
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer/2),
		unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}))
	if err != nil {
		return -1, errors.Join(fmt.Errorf("cannot send packets: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// watch opens a socket that receives nothing, and has an error once the interface
// is down or gone. A socket without a protocol, such as inject's, is not told.
func watch(index int) (fd int, err error) {
	fd, err = socket()
	if err != nil {
		return -1, err
	}
	const experimental = 0x88b5 // IEEE 802's EtherType for local experiments
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(experimental), Ifindex: index})
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("cannot watch an interface: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// tap makes a TAP interface that ends with the descriptor and drops what is sent
// through it, once packet sockets have seen it. With offload it takes TCP packets
// of up to 64 KB whole, and those without a checksum; else the kernel cuts them to
// what goes on a wire, checksums and all, before it hands them over.
func tap(name string, offload bool) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open /dev/net/tun: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot make the TAP interface %s: %w", name, err), unix.Close(fd))
		}
	}()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fd, err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fd, err
	}
	features := 0
	if offload {
		features = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, features); err != nil {
		return fd, err
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	filter := unix.SockFprog{Len: 1, Filter: &nothing[0]}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNATTACHFILTER, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return fd, os.NewSyscallError("TUNATTACHFILTER", errno)
	}
	return fd, nil
}

func networkOrder(n uint16) uint16 {
	b := [2]byte{byte(n >> 8), byte(n)}
	return *(*uint16)(unsafe.Pointer(&b))
}
