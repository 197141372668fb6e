//! Points on the sphere and the distances between them.

/// Mean radius of the Earth in kilometers (IUGG R1).
pub const EARTH_RADIUS_KM: f64 = 6_371.008_8;

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
}
