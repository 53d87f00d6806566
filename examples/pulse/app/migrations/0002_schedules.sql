-- When a monitor is due is known to its schedule in the queue, see
-- schedules.go. The index goes with the column.
alter table pulse.monitors drop column next_at;
