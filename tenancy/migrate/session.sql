-- Between files: nothing that a file set for its session is felt by the next one. The rest lets the server notice within
-- a minute that the process has died or lost its network, so that its lock does not outlive it.
reset all;
reset role;
do $$
begin
    perform set_config('tcp_keepalives_idle', '20', false), set_config('tcp_keepalives_interval', '10', false),
        set_config('tcp_keepalives_count', '3', false), set_config('client_connection_check_interval', '5s', false);
exception when others then
    null; -- a platform without them
end
$$;
