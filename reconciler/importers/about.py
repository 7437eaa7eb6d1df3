"""What docs/import.md says of each format beside its table."""

SATURN = """\
Recipes of the current schema (`type: job` with a `spec`), older flat ones with a `job:` block, lists of them, and
sets (`resources`, `templates`). Workspaces, deployments and images are no jobs.

    sc list job -o yaml | reconciler import saturn - --into jobs.d/ml --image registry.example.org/ml/pytorch:2.8

* The command was one line for a shell. A single command, or several joined by `&&`, becomes a `script`; where a pipe,
  a variable or a `;` would mean something else under `sh -eu`, the line is given to `/bin/sh -c` as it stands.
* A list of commands (`sc split`) becomes a `strategy.matrix`: each cell runs one of them.
* Schedules are in UTC. An empty one is `schedule: manual`.
"""

KUBERNETES = """\
CronJobs of `batch/v1`, `v1beta1` and `v2alpha1`; Jobs, as `schedule: manual`; several documents, and lists as
`kubectl` prints them. ConfigMaps of the same file are taken in.

    kubectl get cronjobs -n shop -o yaml | reconciler import kubernetes - --into jobs.d/web

* There, `*/2` in one day field beside a restricted other one fires on either day; here, as in Debian's cron, a field
  that begins with `*` makes it both. Such a field is written as a range (`1-31/2`), which fires as it did.
* With `timeZone` a time that the clocks skip is left out there and made up here; `dst: {gap: skip}` leaves it out
  here as well.
* A volume that is mounted from a claim is a new, empty one. `emptyDir` is a tmpfs.
"""

CRONTAB = """\
A user's crontab (`crontab -l`), or one of the system (`/etc/crontab`, `/etc/cron.d/*`) with a column for the user.
Which one it is tells its path, or that one of the users is root; `--system` and `--no-system` say it.

    crontab -l | reconciler import crontab - --into jobs.d/ops --image registry.example.org/ops/tools:1

* A job is named by its program: `cd /srv && python3 bin/report.py --all` is `report`.
* A crontab has no images. With `--image` all its jobs are of that one and fire; without, `debian:stable-slim` is
  assumed and they are suspended: the programs and files of the host are not in a container.
* Days, names and steps mean what they meant (docs/semantics.md): with both day fields restricted a day that is either
  counts, and clock changes are Debian's.
* The command is given to the shell as with Saturn's. Everything after the first `%` is its standard input, as a
  here-document.
"""

OFELIA = """\
Its ini file, a file of `ofelia.KIND.NAME.KEY=value` lines, or a Compose file with such labels (chadburn's too).

    reconciler import ofelia /etc/ofelia/config.ini --into jobs.d/web

* `job-run` and `job-service-run` become jobs of their image.
* `job-exec` ran in a container that was there, and does so here where `policy.exec_in` lists its name. Where not, it is
  written suspended, with the container's name; from a Compose file with the image, variables and volumes of the
  service. It is not left out, so that its schedule and command are not lost; and does not fire, since a new container
  is another place than the one that was meant. Compose calls the container of a service PROJECT-SERVICE-1, unless it
  has a `container_name`: write that name.
* `job-local` ran where Ofelia runs: as a line of a crontab.
* `@every` counted from the start of Ofelia; here it counts from when the job was first applied, and a restart shifts
  nothing.
"""

COMPOSE = """\
Services whose labels (or those of their `deploy`) say when to run: Ofelia's, swarm-cronjob's, and the plain ones that
are in the table. Services without one are left out, and each is told. Anchors and merge keys are resolved.

    reconciler import compose compose.yaml --into jobs.d/web

* `$` is resolved as Compose does it, as far as the file itself tells: `${TAG:-1.2}` is `1.2`, `$$` is `$`; a variable
  without a default is needed.
* A named volume of the project is a new, empty one of the owner's own; one with a `name` or `external` is that very
  volume, if policy lists it. A path beside the Compose file is needed.
* A job is not in the network of its project, unless `networks` names one that policy allows.
"""
