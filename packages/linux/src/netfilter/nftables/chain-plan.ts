export interface ChainPlan {
  readonly todo: 1;
}
