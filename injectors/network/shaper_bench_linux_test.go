package network

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/testbed"
	"golang.org/x/sys/unix"
)

// BenchmarkShaper measures a cable between two namespaces with nothing in the way,
// and with the shaper: a TCP flow's goodput, and small UDP packets.
func BenchmarkShaper(b *testing.B) {
	for _, test := range []struct {
		name string
		spec *Spec
	}{
		{"none", nil},
		{"1ms", &Spec{Delay: ms}},
		{"50ms", &Spec{Delay: 50 * ms}},
		{"loss-0.01", &Spec{Loss: 0.01}},
	} {
		b.Run("tcp/"+test.name, func(b *testing.B) {
			n := benchNet(b, test.spec)
			for range b.N {
				bits := 8 * float64(goodput(b, n.target, n.peer, 2*time.Second))
				b.ReportMetric(bits/2/1e9, "Gbit/s")
			}
		})
		b.Run("udp/"+test.name, func(b *testing.B) {
			n := benchNet(b, test.spec)
			for range b.N {
				sent, received := blast(b, n.target, n.peer, 2*time.Second)
				b.ReportMetric(float64(received)/2/1e3, "kpps")
				b.ReportMetric(100*float64(sent-received)/float64(sent), "%lost")
			}
		})
	}
}

func benchNet(b *testing.B, spec *Spec) net2 {
	n := newNet(b)
	for _, host := range []*testbed.Host{n.target, n.peer} {
		if err := host.Do(func() error {
			// The default of 4 MB holds one flow at 0.5 Gbit/s at 50 ms.
			const room = "4096 131072 268435456"
			return errors.Join(os.WriteFile("/proc/sys/net/ipv4/tcp_wmem", []byte(room), 0), os.WriteFile("/proc/sys/net/ipv4/tcp_rmem", []byte(room), 0))
		}); err != nil {
			b.Fatal(err)
		}
	}
	if spec != nil {
		spec.Backend = shaperName
		f := inject(b, *spec, n.target)
		b.Cleanup(func() { b.Logf("%+v", f.expect(registry(), "present").Facts) })
	}
	b.ResetTimer()
	return n
}

// goodput is how many bytes a TCP flow brings across in that time, after as long to
// get going.
func goodput(b *testing.B, from, to *testbed.Host, length time.Duration) (bytes int) {
	var listener net.Listener
	if err := to.Do(func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(to.Addr.String(), "0"))
		return err
	}); err != nil {
		b.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	var conn net.Conn
	if err := from.Do(func() (err error) {
		conn, err = net.Dial("tcp4", listener.Addr().String())
		return err
	}); err != nil {
		b.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1<<18)
		for {
			if _, err := conn.Write(buf); err != nil {
				return
			}
		}
	}()
	peer, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer peer.Close() //nolint:errcheck // of a test
	defer conn.Close() //nolint:errcheck // of a test
	buf := make([]byte, 1<<18)
	began := time.Now()
	for time.Since(began) < 2*length {
		n, err := peer.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		if time.Since(began) > length {
			bytes += n
		}
	}
	return bytes
}

// blast sends UDP packets of 64 bytes as fast as it can.
func blast(b *testing.B, from, to *testbed.Host, length time.Duration) (sent, received int) {
	receiver, sender := listen(b, to, false), listen(b, from, false)
	defer sender.Close() //nolint:errcheck // of a test
	done := make(chan int)
	go func() {
		n, buf := 0, make([]byte, 2048)
		for {
			if _, err := receiver.Read(buf); err != nil {
				done <- n
				return
			}
			n++
		}
	}()
	raw, err := sender.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	address := &unix.SockaddrInet4{Port: receiver.LocalAddr().(*net.UDPAddr).Port, Addr: to.Addr.As4()}
	buf := make([]byte, 64-42)
	if err := raw.Control(func(fd uintptr) {
		for began := time.Now(); time.Since(began) < length; {
			for range 64 {
				if unix.Sendto(int(fd), buf, 0, address) == nil {
					sent++
				}
			}
		}
	}); err != nil && !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	_ = receiver.Close()
	return sent, <-done
}

// BenchmarkShaperKilled is the time from a SIGKILL of the process that holds a delay
// of a minute to the first packet that arrives without it.
func BenchmarkShaperKilled(b *testing.B) {
	n := newNet(b)
	for range b.N {
		f := inject(b, Spec{Delay: 60_000 * ms, Backend: shaperName}, n.target)
		pid := holderOf(b, f)
		receiver, sender := listen(b, n.peer, false), listen(b, n.target, false)
		killed := time.Now()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			b.Fatal(err)
		}
		arrived := make(chan error)
		go func() {
			_, err := receiver.Read(make([]byte, 64))
			arrived <- err
		}()
		for waiting := true; waiting; {
			if _, err := sender.WriteTo([]byte("x"), receiver.LocalAddr()); err != nil {
				b.Fatal(err)
			}
			select {
			case err := <-arrived:
				if err != nil {
					b.Fatal(err)
				}
				waiting = false
			case <-time.After(100 * time.Microsecond):
			}
		}
		b.ReportMetric(float64(time.Since(killed).Microseconds())/1000, "ms-to-heal")
		_ = errors.Join(receiver.Close(), sender.Close())
		f.revert(f.registry)
	}
}
