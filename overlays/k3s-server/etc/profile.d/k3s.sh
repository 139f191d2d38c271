# kubectl and helm find the cluster; the file is root's alone.
export KUBECONFIG=/etc/rancher/k3s/k3s.yaml
