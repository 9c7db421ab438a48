"""What engines share to lay one face over another: mattes and light."""
