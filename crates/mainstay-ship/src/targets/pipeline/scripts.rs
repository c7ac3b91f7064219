//! The steps that every pipeline has, for a POSIX shell. They hold no value of a spec: whatever differs comes in
//! variables.
//!
//! `NAME`, `NAMESPACE` and `WORKLOAD` (`deployment/NAME`) say what is deployed, `IMAGE` and `DIGEST` with which image,
//! `OVERLAY` from which files, `HOST` where callers reach it (empty where they do not), `KUBE_SERVER` and `KUBE_CA` on
//! which cluster.

/// Reads the cluster's address and authority, and says who asks. The lines of the user come between.
const CLUSTER: &str = r#": "${KUBE_SERVER:?has no value in this environment}" "${KUBE_CA:?has no value in this environment}"
umask 077
mkdir -p ~/.kube
printf '%s\n' "$KUBE_CA" > ~/.kube/ca.crt
cat > ~/.kube/config <<END
apiVersion: v1
kind: Config
current-context: target
clusters:
  - name: target
    cluster: { server: "$KUBE_SERVER", certificate-authority: ca.crt }
contexts:
  - name: target
    context: { cluster: target, user: pipeline, namespace: "$NAMESPACE" }
users:
  - name: pipeline
"#;

/// A kubeconfig for a user with these settings, written after what `before` does.
pub(in crate::targets) fn connect(before: &str, user: &str) -> String {
    format!("{before}{CLUSTER}    user: {user}\nEND\n")
}

/// The objects of the environment, with the image by digest. The namespace stays its owner's.
pub(in crate::targets) const RENDER: &str = r#"mkdir -p release
cat > release/kustomization.yaml <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: ["../$OVERLAY"]
images: [{ name: "$IMAGE", digest: "$DIGEST" }]
patches:
  - patch: |
      { "\$patch": "delete", "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "$NAMESPACE" } }
END
kubectl kustomize release > release.yaml
grep -q -F "$IMAGE@$DIGEST" release.yaml
"#;

/// Remembers what runs, then applies and waits.
pub(in crate::targets) const APPLY: &str = r#"kubectl get "$WORKLOAD" --ignore-not-found -o name > present
if [ -s present ]; then
  kubectl rollout history "$WORKLOAD" > revisions
  awk '/^[0-9]/ { last = $1 } END { if (last) print last }' revisions > revision
fi
kubectl apply --server-side --force-conflicts --field-manager=pipeline -f release.yaml
kubectl rollout status "$WORKLOAD" --timeout=15m
"#;

/// Asks through the service, and from outside where callers come that way. `probe` is how.
pub(in crate::targets) fn smoke(probe: &str) -> String {
    format!("{probe}{SMOKE}")
}

/// In a shell of its own: what runs the script may have something to do at the script's end, too.
const SMOKE: &str = r#"well() {
  tries=30
  until probe "$1"; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then return 1; fi
    sleep 2
  done
}
(
  kubectl port-forward "service/$NAME" 18080:80 > /dev/null &
  forward=$!
  trap 'kill "$forward"' EXIT
  well http://127.0.0.1:18080
  if [ -n "$HOST" ]; then well "https://$HOST"; fi
)
"#;

/// Goes back to what ran before.
pub(in crate::targets) const ROLL_BACK: &str = r#"if [ -s revision ]; then
  kubectl rollout undo "$WORKLOAD" --to-revision="$(cat revision)"
  kubectl rollout status "$WORKLOAD" --timeout=15m
else
  echo "Nothing ran here before: there is nothing to go back to."
fi
"#;

/// Gives the image of a commit the names of a version: `1.4.0`, and `1.4` unless it is a preview. `TAG` is the tag in
/// the repository, `FROM` the image by digest.
pub(in crate::targets) const NAME_VERSION: &str = r#"version="${TAG#v}"
skopeo copy --preserve-digests "docker://$FROM" "docker://$IMAGE:$version"
case "$version" in
  *-*) ;;
  *) skopeo copy --preserve-digests "docker://$FROM" "docker://$IMAGE:${version%.*}" ;;
esac
"#;

/// Looks for what is known to be vulnerable: the reports first, so that they are there when the gate closes for a HIGH
/// or CRITICAL finding that has a fix. `reports` makes more of `scan.json`.
pub(in crate::targets) fn scan(reports: &str) -> String {
    format!("{SCAN}{reports}{GATE}")
}

const SCAN: &str = "trivy image --input image.tar --ignore-unfixed --format json --output scan.json
trivy convert --format sarif --output scan.sarif scan.json
";
const GATE: &str = "trivy image --input image.tar --ignore-unfixed --severity HIGH,CRITICAL --exit-code 1\n";
