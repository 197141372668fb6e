//! Points on the sphere and the distances between them.

/// Mean radius of the Earth in kilometers (IUGG R1).
pub const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// A degree of a great circle, km.
const DEGREE_KM: f64 = EARTH_RADIUS_KM * std::f64::consts::PI / 180.0;
/// Around a limit, where rounding could decide, the distance does: this part of it.
const MARGIN: f64 = 1e-6;

/// A point given in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

impl Point {
    /// The point, if both coordinates are finite and in range.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_valid =
            latitude.is_finite() && longitude.is_finite() && latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        is_valid.then_some(Self { latitude, longitude })
    }

    /// Great-circle distance in kilometers (haversine; within 0.56 % of the ellipsoid, far below any GeoIP error).
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let sin_lat = ((lat2 - lat1) / 2.0).sin();
        let sin_lon = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let chord = sin_lat * sin_lat + lat1.cos() * lat2.cos() * sin_lon * sin_lon;
        2.0 * EARTH_RADIUS_KM * chord.sqrt().min(1.0).asin()
    }

    /// Whether the other point is more than `km` away, as [`Point::distance_km`] measures it. Most are so plainly on one side
    /// that no trigonometry is needed.
    #[must_use]
    pub fn is_beyond(self, other: Self, km: f64) -> bool {
        let north = (self.latitude - other.latitude).abs();
        // The way is at least as long as the difference in latitude.
        if north > km.max(0.0) / DEGREE_KM * (1.0 + MARGIN) {
            return true;
        }
        self.distance_unless_near_km(other, km)
            .is_some_and(|distance| distance > km)
    }

    /// The distance; `None` if the other point is plainly nearer than `km`, which takes no trigonometry to tell.
    #[must_use]
    pub fn distance_unless_near_km(self, other: Self, km: f64) -> Option<f64> {
        let north = (self.latitude - other.latitude).abs();
        let east = (self.longitude - other.longitude).abs();
        // The way is at most as long as that along meridian and equator.
        let is_near = north + east.min(360.0 - east) < km.max(0.0) / DEGREE_KM * (1.0 - MARGIN);
        (!is_near).then(|| self.distance_km(other))
    }

    /// Unit vector on the sphere; two of them give the squared chord without trigonometry.
    #[must_use]
    pub fn unit_vector(self) -> [f32; 3] {
        let (lat, lon) = (self.latitude.to_radians(), self.longitude.to_radians());
        #[expect(clippy::cast_possible_truncation, reason = "f32 is good to a meter here")]
        [
            (lat.cos() * lon.cos()) as f32,
            (lat.cos() * lon.sin()) as f32,
            lat.sin() as f32,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances() {
        let london = Point::new(51.5142, -0.0931).unwrap();
        let sydney = Point::new(-33.8688, 151.2093).unwrap();
        assert!((london.distance_km(sydney) - 16_990.0).abs() < 30.0);
        assert!(london.distance_km(london).abs() < 1e-9);
        assert!(Point::new(f64::NAN, 0.0).is_none());
        assert!(Point::new(0.0, 0.0).is_some(), "0, 0 is a place");
    }

    #[test]
    fn what_is_beyond_is_farther_away() {
        let sides: Vec<f64> = (-12..=12).map(|step| f64::from(step) * 15.0 - 0.01).collect();
        let points = || {
            let all = sides
                .iter()
                .flat_map(|north| sides.iter().map(move |east| (*north, *east)));
            all.filter_map(|(north, east)| Point::new(north, east))
        };
        for one in points().step_by(3) {
            for other in points() {
                let far = one.distance_km(other);
                for km in [
                    0.0,
                    1.0,
                    500.0,
                    far * 0.999_999_9,
                    far,
                    far * 1.000_000_1,
                    15_000.0,
                    21_000.0,
                ] {
                    assert_eq!(one.is_beyond(other, km), far > km, "{one:?} {other:?} {far} {km}");
                }
            }
        }
        let here = Point::new(89.9, 0.0).unwrap();
        assert!(here.is_beyond(here, -1.0) == (here.distance_km(here) > -1.0));
    }
}
