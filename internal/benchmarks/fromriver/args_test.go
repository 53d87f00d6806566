package fromriver

// SendInvoice is a job of River and, as it stands, one of ours.
type SendInvoice struct {
	ID int64 `json:"id"`
}

func (SendInvoice) Kind() string { return "invoice.send" }
