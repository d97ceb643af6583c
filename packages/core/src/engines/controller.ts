/**
 * A program that works for the whole cluster, beside the controllers of Kubernetes itself: Calico's kube-controllers, an operator. It is
 * started with them, before there are nodes.
 */
export interface ClusterController {
  readonly name: string;
  start(): void;
  stop(): void;
}
