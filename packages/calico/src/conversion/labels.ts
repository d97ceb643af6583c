/** Labels that Calico gives to endpoints (`api/pkg/apis/projectcalico/v3/constants.go`). */
export const LABEL_NAMESPACE = "projectcalico.org/namespace";
export const LABEL_ORCHESTRATOR = "projectcalico.org/orchestrator";
export const LABEL_SERVICE_ACCOUNT = "projectcalico.org/serviceaccount";

/** How a namespace's and a service account's labels and profiles begin (`libcalico-go/lib/backend/k8s/conversion/constants.go`). */
export const NAMESPACE_LABEL_PREFIX = "pcns.";
export const SERVICE_ACCOUNT_LABEL_PREFIX = "pcsa.";
export const NAMESPACE_PROFILE_PREFIX = "kns.";
export const SERVICE_ACCOUNT_PROFILE_PREFIX = "ksa.";

/** By this label a namespace or service account is found by its name. */
export const NAME_LABEL = "projectcalico.org/name";
