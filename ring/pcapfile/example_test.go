package pcapfile_test

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

// The packets of one recording, from their network headers, whatever link
// layer it was made on.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "recording")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "one.pcap")
	record(path, 0, 2)

	r, err := pcapfile.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for f := (ring.Frame{}); ; {
		if err := r.Next(&f); err == io.EOF {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("second %d: IPv%d, %d of %d bytes\n", f.Time/int64(time.Second), f.Data[0]>>4, len(f.Data), f.Wire)
	}
	// Output:
	// second 0: IPv4, 20 of 20 bytes
	// second 2: IPv4, 20 of 20 bytes
}

// Several recordings are read as one, merged by time.
func ExampleOpenSet() {
	dir, err := os.MkdirTemp("", "recordings")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	even, odd := filepath.Join(dir, "even.pcap"), filepath.Join(dir, "odd.pcap")
	record(even, 0, 2, 4)
	record(odd, 1, 3)

	s, err := pcapfile.OpenSet([]string{even, odd})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	for f := (ring.Frame{}); s.Next(&f) == nil; {
		fmt.Print(f.Time/int64(time.Second), " ")
	}
	read, size := s.Position()
	fmt.Println("all read:", read == size)
	// Output: 0 1 2 3 4 all read: true
}

// record writes an empty IPv4 packet for each of the seconds, on Ethernet.
func record(path string, seconds ...int64) {
	f, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		log.Fatal(err)
	}
	frame := append(make([]byte, 12), 0x08, 0x00, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 10, 0, 0, 1)
	for _, s := range seconds {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(s, 0), CaptureLength: len(frame), Length: len(frame)}
		if err := w.WritePacket(ci, frame); err != nil {
			log.Fatal(err)
		}
	}
}
