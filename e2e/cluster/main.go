// Command parking-servers is every server and client of Kubernetes that the tests start, in one file:
// they share almost all of their packages, so that one build takes hardly longer than one of them.
//
// The program is chosen by the name that it is called by (a link named kubectl is kubectl), else by the
// first argument (parking-servers kubectl get pods).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // time zones of CronJobs

	_ "k8s.io/client-go/plugin/pkg/client/auth"           // ways to log in of a kubeconfig
	_ "k8s.io/component-base/logs/json/register"          // the log format json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of clients
	_ "k8s.io/component-base/metrics/prometheus/version"  // the metric of the version
)

// programs is what this file can be; each one reads os.Args and returns its exit code.
var programs = map[string]func() int{
	"control-plane":           controlPlane,
	"etcd":                    etcd,
	"kube-apiserver":          apiServer,
	"kube-controller-manager": controllerManager,
	"kubectl":                 kubectl,
}

func main() {
	if run, known := programs[filepath.Base(os.Args[0])]; known {
		os.Exit(run())
	}
	if len(os.Args) > 1 {
		if run, known := programs[os.Args[1]]; known {
			os.Args = os.Args[1:]
			os.Exit(run())
		}
	}
	fmt.Fprintf(os.Stderr, "usage: %s PROGRAM ARGUMENT...\nprograms: %s\n", os.Args[0], strings.Join(names(), " "))
	os.Exit(2)
}

func names() []string {
	var found []string
	for name := range programs {
		found = append(found, name)
	}
	slices.Sort(found)
	return found
}
