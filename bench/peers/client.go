// A full handshake with crypto/tls for each endpoint: LIST PORT NAME WARM PROBES PARALLEL.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func usage() float64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(r.Utime) + seconds(r.Stime)
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	addresses := strings.Fields(string(text))
	port, warm, probes, parallel := os.Args[2], number(os.Args[4]), number(os.Args[5]), int(number(os.Args[6]))
	config := &tls.Config{ServerName: os.Args[3], InsecureSkipVerify: true}
	var failed int64
	var leaf atomic.Value
	leaf.Store("")
	look := func(address string) {
		dialer := &net.Dialer{Timeout: 10 * time.Second}
		connection, err := tls.DialWithDialer(dialer, "tcp", net.JoinHostPort(address, port), config)
		if err != nil {
			atomic.AddInt64(&failed, 1)
			return
		}
		sum := sha256.Sum256(connection.ConnectionState().PeerCertificates[0].Raw)
		connection.NetConn().Close()
		leaf.Store(hex.EncodeToString(sum[:]))
	}
	round := func(count int64) {
		var next int64 = -1
		var group sync.WaitGroup
		for lane := 0; lane < parallel; lane++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for at := atomic.AddInt64(&next, 1); at < count; at = atomic.AddInt64(&next, 1) {
					look(addresses[at%int64(len(addresses))])
				}
			}()
		}
		group.Wait()
	}
	round(warm)
	before := usage()
	started := time.Now()
	round(probes)
	seconds := time.Since(started).Seconds()
	after := usage()
	fmt.Printf("{\"probes\":%d,\"failed\":%d,\"seconds\":%f,\"cpuSeconds\":%f,\"leaf\":\"%s\"}\n",
		probes, failed, seconds, after-before, leaf.Load())
}
