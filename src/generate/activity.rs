//! What a person and their machines do during a day: sign-ins, tokens, tunnels, tools, and whatever is odd or hidden.

use std::net::IpAddr;

use super::act::{Act, App, Device, Gadget, Login, Program, Tunnel, What};
use super::atlas::{self, Clocks, Site, Town};
use super::day::{Purpose, Stay, stays};
use super::people::{Habit, Person};
use super::plan::is_weekend;
use super::random::Random;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Writes one person's day down.
pub struct Diary<'a> {
    person: &'a Person,
    who: u32,
    day: i64,
    seed: u64,
    clocks: &'a Clocks,
    vpn_egress: &'a [Town],
    random: Random,
    count: u64,
    acts: &'a mut Vec<Act>,
}

impl<'a> Diary<'a> {
    /// A diary of `who` for that day, appended to `acts`.
    pub fn new(
        (person, who): (&'a Person, u32),
        (seed, day): (u64, i64),
        clocks: &'a Clocks,
        vpn_egress: &'a [Town],
        acts: &'a mut Vec<Act>,
    ) -> Self {
        let random = Random::of(seed, &[0x6469_6172, u64::from(who), day.unsigned_abs()]);
        Self {
            person,
            who,
            day,
            seed,
            clocks,
            vpn_egress,
            random,
            count: 0,
            acts,
        }
    }

    /// The whole day.
    pub fn write(mut self) {
        let stays = stays(self.person, self.who, self.seed, self.day, self.clocks);
        for stay in &stays {
            self.stay(stay);
        }
        if let Some(work) = stays.iter().find(|stay| stay.purpose != Purpose::Glance) {
            self.oddities(work);
            self.scheme(work);
        }
        self.without_presence();
    }

    /// Puts one act down. Most records reach the log at once, some late, a few twice.
    fn put(&mut self, time_ms: i64, what: What) {
        let delay_ms = match self.random.below(100) {
            0 => self.random.between(60_000, 280_000),
            1..4 => self.random.between(1_000, 60_000),
            _ => 0,
        };
        let id = Random::of(self.seed, &[u64::from(self.who), self.day.unsigned_abs(), self.count]).bits();
        self.count += 1;
        let act = Act {
            due_ms: time_ms + delay_ms,
            time_ms,
            id,
            who: self.who,
            what,
        };
        if self.random.per_mille(3) {
            self.acts.push(Act {
                due_ms: act.due_ms + self.random.between(500, 240_000),
                ..act.clone()
            });
        }
        self.acts.push(act);
    }

    fn laptop(&self) -> Device {
        if self.person.names_device {
            Device::Laptop(self.person.laptop)
        } else {
            Device::Unnamed
        }
    }

    fn login(&mut self, time_ms: i64, address: IpAddr, device: Device, app: App, second_factor: bool) {
        let login = Login {
            address,
            device,
            app,
            success: true,
            second_factor,
        };
        if self.random.percent(3) {
            self.put(
                time_ms - 20_000,
                What::Login(Login {
                    success: false,
                    second_factor: false,
                    ..login
                }),
            );
        }
        self.put(time_ms, What::Login(login));
    }

    fn stay(&mut self, stay: &Stay) {
        let device = self.laptop();
        let start = stay.from_ms + self.random.between(0, 4 * MINUTE_MS);
        self.login(start, stay.address, device, App::Portal, true);
        if stay.purpose == Purpose::Glance {
            let glance = start + self.random.between(1, 9) * MINUTE_MS;
            self.login(glance, stay.address, device, App::Mail, false);
            return;
        }
        let egress = self.tunnel(stay, start);
        let mut time = start + self.random.between(2, 12) * MINUTE_MS;
        while time < stay.to_ms {
            let app = App::DAILY[self.random.index(App::DAILY.len())];
            let address = match egress {
                Some((from, to, address)) if (from..to).contains(&time) => address,
                _ => stay.address,
            };
            let address = self.veiled(address, time, stay);
            self.login(time, address, device, app, false);
            time += self.random.between(45, 150) * MINUTE_MS;
        }
        let mut renewal = start + self.random.between(40, 80) * MINUTE_MS;
        while renewal < stay.to_ms {
            let login = Login {
                address: stay.address,
                device,
                app: App::Mail,
                success: true,
                second_factor: false,
            };
            // Some programs renew through their maker's cloud, from wherever that runs.
            let cloud = Site::Hosting.address(atlas::town("Washington"), 9);
            let address = if self.random.percent(12) { cloud } else { stay.address };
            self.put(renewal, What::TokenRenewal(Login { address, ..login }));
            renewal += self.random.between(70, 140) * MINUTE_MS;
        }
        if self.random.percent(30) {
            let login = Login {
                address: stay.address,
                device,
                app: App::Portal,
                success: true,
                second_factor: false,
            };
            self.put(stay.to_ms, What::Logout(login));
        }
        self.phone(stay);
    }

    /// The company VPN. Returns from when to when all traffic leaves through it, and from where.
    fn tunnel(&mut self, stay: &Stay, start: i64) -> Option<(i64, i64, IpAddr)> {
        let is_tunneled = self.person.uses_vpn && stay.purpose == Purpose::Work;
        if !is_tunneled || stay.to_ms - start < HOUR_MS {
            return None;
        }
        let open = start + self.random.between(40, 200) * 1_000;
        let close = stay.to_ms - self.random.between(2, 9) * MINUTE_MS;
        let tunnel = Tunnel {
            address: stay.address,
            device: self.laptop(),
            session: self.random.bits(),
            open_ms: 0,
        };
        self.put(open, What::VpnOpen(tunnel));
        let mut renewal = open + HOUR_MS;
        while renewal < close {
            self.put(
                renewal,
                What::VpnRenewal(Tunnel {
                    open_ms: renewal - open,
                    ..tunnel
                }),
            );
            renewal += HOUR_MS;
        }
        self.put(
            close,
            What::VpnClose(Tunnel {
                open_ms: close - open,
                ..tunnel
            }),
        );
        let gateway = self.vpn_egress.get(self.who as usize % self.vpn_egress.len().max(1))?;
        let egress = Site::VpnEgress.address(*gateway, 0);
        self.person.is_full_tunnel.then_some((open, close, egress))
    }

    /// The address as a private VPN, relay or satellite lets it appear.
    fn veiled(&mut self, address: IpAddr, time: i64, stay: &Stay) -> IpAddr {
        let exits = ["New York", "London", "Amsterdam", "Zurich", "Los Angeles", "Singapore"];
        match self.person.habit {
            Habit::PrivateVpn(brand) if self.random.percent(25) => {
                let exit = atlas::town(exits[self.random.index(exits.len())]);
                Site::Brand(brand).address(exit, self.random.below(60))
            }
            Habit::PrivacyRelay if self.random.percent(50) => {
                let near = atlas::towns(&[atlas::city(stay.town).country], |_| true);
                let exit = near[self.random.index(near.len())];
                Site::Relay.address(exit, self.random.below(200))
            }
            Habit::Satellite(ground) => Site::Satellite.address(ground, 20 + self.who % 200),
            _ => self.hidden_brand(address, time),
        }
    }

    fn hidden_brand(&mut self, address: IpAddr, time: i64) -> IpAddr {
        match self.person.scheme.brand {
            Some((brand, exit)) if (self.day + i64::from(self.who)) % 3 == 0 && time % 3 == 0 => {
                Site::Brand(brand).address(exit, self.random.below(40))
            }
            _ => address,
        }
    }

    /// Mail on the phone at noon: over the carrier, whose gateway may be in another city.
    fn phone(&mut self, stay: &Stay) {
        if !self.person.has_phone || self.person.scheme.is_hidden && self.random.percent(70) {
            return;
        }
        let noon = stay.from_ms + self.random.between(2 * 60, 5 * 60) * MINUTE_MS;
        if noon >= stay.to_ms {
            return;
        }
        // A phone abroad still leaves through its home network.
        let home = if self.person.trips.is_empty() {
            stay.town
        } else {
            self.person.home_town()
        };
        let phone = Device::Phone(self.who);
        let gateway = self.random.below(6);
        self.login(noon, atlas::mobile_gateway(home, gateway), phone, App::Mail, false);
        if let Habit::Roaming(other) = self.person.habit {
            self.login(
                noon + 6 * MINUTE_MS,
                atlas::mobile_gateway(other, gateway),
                phone,
                App::Mail,
                false,
            );
            self.login(
                noon + 14 * MINUTE_MS,
                atlas::mobile_gateway(home, gateway),
                phone,
                App::Tickets,
                false,
            );
        }
    }

    fn oddities(&mut self, work: &Stay) {
        let later = work.from_ms + self.random.between(40, 100) * MINUTE_MS;
        let laptop = self.laptop();
        if self.random.percent(10) {
            let gadget = if self.random.percent(70) {
                Gadget::Receiver
            } else {
                Gadget::Stick
            };
            self.put(later, What::Attached(Device::Laptop(self.person.laptop), gadget));
        }
        if self.random.percent(15) {
            self.put(
                later,
                What::Process(Device::Laptop(self.person.laptop), Program::Editor),
            );
        }
        let person = self.person;
        match &person.habit {
            Habit::CloudDesktop(town) => {
                let address = Site::CloudDesktop.address(*town, self.who % 200);
                self.login(later, address, Device::Unnamed, App::Code, false);
                self.login(later + 5 * MINUTE_MS, work.address, laptop, App::Mail, false);
            }
            Habit::SharedMachine(machine) if work.purpose == Purpose::OfficeWork => {
                self.login(later, work.address, Device::Shared(*machine), App::Tickets, false);
            }
            Habit::Helpdesk(set_up) if work.purpose == Purpose::OfficeWork => {
                let today = self.day;
                for (_, device) in set_up.iter().filter(|(day, _)| *day == today) {
                    self.login(later, work.address, *device, App::Portal, true);
                    self.put(later + 4 * MINUTE_MS, What::Process(*device, Program::SupportTool));
                }
            }
            Habit::Supported(day, program) if *day == self.day => {
                self.put(later, What::Process(Device::Laptop(self.person.laptop), *program));
            }
            Habit::Administrator(server) => self.administer(work, later, *server),
            Habit::Docked => {
                self.put(later, What::Attached(Device::Laptop(self.person.laptop), Gadget::Dock));
                self.put(
                    later + 3_000,
                    What::Attached(Device::Laptop(self.person.laptop), Gadget::Monitor),
                );
            }
            _ => {}
        }
    }

    /// Administrators reach servers, and the desktop under their desk, from the office's address or the VPN's.
    fn administer(&mut self, work: &Stay, time: i64, server: u32) {
        let gateway = self.vpn_egress.first().copied().unwrap_or(work.town);
        let egress = Site::VpnEgress.address(gateway, 0);
        let from = if work.purpose == Purpose::OfficeWork {
            work.address
        } else {
            egress
        };
        self.put(time, What::RemoteDesktop(from, Device::Server(server)));
        if self.random.percent(40) {
            self.put(
                time + HOUR_MS,
                What::RemoteDesktop(from, Device::Server(1_000 + self.who)),
            );
        }
    }

    fn scheme(&mut self, work: &Stay) {
        let laptop = Device::Laptop(self.person.laptop);
        let person = self.person;
        let scheme = &person.scheme;
        let today = self.day;
        for (_, line) in scheme.slips.iter().filter(|(day, _)| *day == today) {
            let at = work.from_ms + self.random.between(25, 55) * MINUTE_MS;
            let address = line.address(self.day);
            self.login(at, address, Device::Unnamed, App::Portal, true);
            self.login(at + 3 * MINUTE_MS, address, Device::Unnamed, App::Mail, false);
        }
        if let Some(operator) = scheme.operator {
            // Well inside the VPN session, which lasts nearly as long as the stay.
            let at = work.from_ms + self.random.between(20, 50) * MINUTE_MS;
            self.put(at, What::RemoteDesktop(operator, laptop));
            if self.random.percent(50) {
                self.put(at + 3 * HOUR_MS, What::RemoteDesktop(operator, laptop));
            }
        }
        let is_first_day = self.day == self.person.hire_day + 1;
        for (turn, program) in (1_i64..).zip(&scheme.programs) {
            if is_first_day || self.random.percent(60) {
                self.put(work.from_ms + turn * 11 * MINUTE_MS, What::Process(laptop, *program));
            }
        }
        for (turn, gadget) in (1_i64..).zip(&scheme.gadgets) {
            if self.random.percent(70) {
                self.put(work.from_ms + turn * 4_000, What::Attached(laptop, *gadget));
            }
        }
        if let Some((brand, exit)) = scheme.brand
            && (self.day + i64::from(self.who)) % 4 == 0
        {
            let device = self.laptop();
            let address = Site::Brand(brand).address(exit, self.random.below(40));
            self.login(work.from_ms + 90 * MINUTE_MS, address, device, App::Code, false);
        }
    }

    /// What happens to an account whether or not anybody is at work.
    fn without_presence(&mut self) {
        let midnight = self.day * super::DAY_MS;
        match &self.person.habit {
            Habit::Robot(town) => {
                let address = Site::Hosting.address(*town, self.who % 200);
                for hour in 0..24 {
                    let time = midnight + hour * HOUR_MS + self.random.between(0, 60) * 1_000;
                    let device = Device::Server(self.who % 900);
                    let login = Login {
                        address,
                        device,
                        app: App::Cloud,
                        success: true,
                        second_factor: false,
                    };
                    self.put(time, What::Login(login));
                }
            }
            Habit::Guessed if !is_weekend(self.day) => {
                for _ in 0..self.random.between(0, 25) {
                    let from = self.random.index(crate::enrich::demo_table::demo_cities().len());
                    let address = Site::Hosting.address(from, self.random.below(200));
                    let login = Login {
                        address,
                        device: Device::Unnamed,
                        app: App::Mail,
                        success: false,
                        second_factor: false,
                    };
                    let time = midnight + self.random.between(0, 24 * 60) * MINUTE_MS;
                    self.put(time, What::Login(login));
                }
            }
            _ => {}
        }
    }
}
