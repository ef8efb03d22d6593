"""What happens on hosts: toolstacks, domains, files, power, and the witness to them."""
