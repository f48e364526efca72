# ts and tsp (task-spooler), done by spoolq: eval "$(spoolq compat ts)"
# There is no server: -K has nothing to kill. -U has no counterpart.

ts() (
    follow='' after='' label=''
    [ $# -gt 0 ] || {
        spoolq list
        exit
    }
    while [ $# -gt 0 ]; do
        case $1 in
            -l) spoolq list && exit ;;
            -C) spoolq clean state:finished state:failed && exit ;;
            -c) spoolq logs "${2:-last}" && exit ;;
            -t) spoolq logs -f "${2:-last}" && exit ;;
            -i) spoolq show "${2:-last}" && exit ;;
            -o) spoolq logs --path "${2:-last}" && exit ;;
            -s) spoolq list "${2:-last}" -o tsv --no-header | cut -f2 && exit ;;
            -w) spoolq wait "${2:-last}" >/dev/null && exit ;;
            -k) spoolq kill "${2:-last}" && exit ;;
            -T) spoolq kill --yes state:active && exit ;;
            -r) spoolq remove "${2:-last}" && exit ;;
            -u) spoolq retry -p 1000 "${2:-last}" && exit ;;
            -S)
                [ $# -gt 1 ] || {
                    spoolq queue list
                    exit
                }
                spoolq queue set default --parallel "$2" && exit
                ;;
            -d) after=last && shift && continue ;;
            -D) after=$2 && shift 2 && continue ;;
            -L) label=$2 && shift 2 && continue ;;
            -N) shift 2 && continue ;; # slots of one job: every job has one
            -f) follow=-f && shift && continue ;;
            -n | -g | -m | -B | -E | -h) shift && continue ;;
            -V) spoolq --version && exit ;;
            -K) exit 0 ;;
            -U | -p)
                printf 'ts: %s: not with spoolq\n' "$1" >&2
                exit 2
                ;;
            -[nfdgmBE]?*)
                rest=-${1#??} first=${1%"${1#??}"}
                shift
                set -- "$first" "$rest" "$@"
                continue
                ;;
            -?*)
                printf 'ts: unknown option %s\n' "$1" >&2
                exit 2
                ;;
            *) break ;;
        esac
        exit # with the code of what was done
    done
    [ -z "$label" ] || set -- -L "$label" -- "$@"
    [ -z "$after" ] || set -- --after "$after" "$@"
    [ -z "$follow" ] || set -- -f "$@"
    spoolq add "$@"
)

tsp() {
    ts "$@"
}
