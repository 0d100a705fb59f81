package ring_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

// The headers of a service's packets are captured and counted until the
// interface is deleted. Capturing needs CAP_NET_RAW.
func ExampleOpen() {
	service, err := filter.Compile("tcp dst port 80")
	if err != nil {
		log.Fatal(err)
	}
	program, err := service.Kernel(128)
	if err != nil {
		log.Fatal(err)
	}
	r, err := ring.Open(ring.Config{Interface: "eth0", Filter: program})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	p, err := ring.NewPoller(r)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	packets := 0
	for {
		for f := (ring.Frame{}); r.Next(&f); {
			packets++ // f.Data begins at the network header
		}
		if err := p.Wait(time.Second, nil); err != nil {
			log.Fatal(packets, err)
		}
	}
}

// Two readers share an interface: each client's packets reach one of them only.
func ExampleOpenGroup() {
	const readers = 2
	rings, err := ring.OpenGroup(ring.Config{Interface: "eth0"}, readers, ring.ShardProgram(readers))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range rings {
		defer r.Close()
	}
	s, err := rings[0].Stats()
	fmt.Printf("%+v %v\n", s, err)
}

// A request of 64 KB goes out as segments that the device cuts, by the next hop
// that the routing table names. Sending needs CAP_NET_RAW.
func ExampleTx() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // ends the watch of the routing table
	hops, err := ring.NewHops(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	hop, err := hops.Add(netip.MustParseAddr("192.0.2.80"))
	if err != nil {
		log.Fatal(err)
	}
	tx, err := ring.NewTx(ring.Link)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Close()

	header := packet.Header{
		Src: packet.EndpointFrom(netip.MustParseAddrPort("10.1.3.7:40000")), Dst: packet.EndpointFrom(netip.MustParseAddrPort("192.0.2.80:80")),
		Seq: 1, Ack: 1, Flags: packet.ACK | packet.PSH, Window: 65535,
	}
	request := make([]byte, 64<<10)
	head := tx.Begin()
	n := tx.Payload(request)
	tx.Commit(packet.Build(head, &header, n), 1448, hop)
	tx.Flush()
	fmt.Printf("%+v\n", tx.Stats())
}
