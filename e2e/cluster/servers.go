package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectlcommand "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// etcd ends the process itself when it fails.
func etcd() int {
	etcdmain.Main(os.Args)
	return 0
}

func apiServer() int {
	return cli.Run(apiserver.NewAPIServerCommand())
}

func controllerManager() int {
	return cli.Run(controllers.NewControllerManagerCommand())
}

func kubectl() int {
	// Parts of the command are made before its flags are read, and already log.
	if _, err := logs.GlogSetter(kubectlcommand.GetLogVerbosity(os.Args)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := cli.RunNoErrOutput(kubectlcommand.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
	return 0
}
