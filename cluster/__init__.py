"""Where a flow runs: resource profiles, jobs and Kubernetes. Independent of operators and flows."""
