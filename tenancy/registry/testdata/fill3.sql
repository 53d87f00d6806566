update app.teams set lead = id + 4 where $1 <> ''
