/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handover_server.h - where agents come for what they need
 */
#ifndef PVDMA_PVDMAD_HANDOVER_SERVER_H
#define PVDMA_PVDMAD_HANDOVER_SERVER_H

struct handover_server;
struct service;

/* Listens in the service's directory. 0 or a negative errno, logged. */
int handover_server_new(struct service *service, struct handover_server **ret);
/* Takes NULL. */
void handover_server_free(struct handover_server *server);

#endif
