package main

import (
	"context"

	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/pipeline/capture"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// interfaceCapture is what an interface brings, and what becomes of it.
type interfaceCapture struct {
	packets packetCapture
	replies *reply.Capture
}

// packetCapture is a capture.Capture.
type packetCapture interface {
	Run(ctx context.Context)
	SetFilter(program []bpf.RawInstruction) error
	Err() error
	Reopened() uint64
	Stats(reader int) ring.Stats
	Close() error
}

// interfaces are the names to capture at; the empty name stands for all.
func (i *intercept) interfaces() []string {
	if len(i.conf.Interfaces) == 0 {
		return []string{""}
	}
	return i.conf.Interfaces
}

// openCaptures opens a capture for each interface.
func (i *intercept) openCaptures() error {
	rewrites := make([]reply.Rewrite, 0, len(i.conf.Rewrites))
	for _, r := range i.conf.Rewrites {
		rewrites = append(rewrites, reply.Rewrite{From: packet.AddrFrom(r.From), To: packet.AddrFrom(r.To)})
	}
	for _, name := range i.interfaces() {
		packets, err := capture.Open(capture.Config{
			Ring: ring.Config{
				Interface: name,
				Version:   ring.V2,
				FrameSize: reply.FrameSize,
				Blocks:    max(2, int(i.conf.RingBytes)/len(i.interfaces())/ring.DefaultBlockSize),
				Filter:    i.program,
			},
			Readers: 1,
			Name:    "capture",
			Log:     i.host.Log,
		})
		if err != nil {
			return err
		}
		replies := reply.NewCapture(name, packets.Reader(0), i.router, i.conf.MaxBatch, rewrites)
		i.captures = append(i.captures, interfaceCapture{packets, replies})
	}
	return nil
}

func (i *intercept) closeCaptures() {
	for _, c := range i.captures {
		_ = c.packets.Close() // nothing is written through it
	}
}

// setFilter replaces the filter of all captures, or of none.
func (i *intercept) setFilter(program []bpf.RawInstruction) error {
	for n, c := range i.captures {
		if err := c.packets.SetFilter(program); err != nil {
			for _, c := range i.captures[:n] {
				_ = c.packets.SetFilter(i.program) // it was the filter before
			}
			return err
		}
	}
	return nil
}
