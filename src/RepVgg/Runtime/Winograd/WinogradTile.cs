namespace RepVgg.Runtime.Winograd;

/// <summary>
/// Sizes of Winograd's minimal filtering F(4x4, 3x3) and F(4, 2), which inference and training use.
/// </summary>
/// <remarks>
/// <para>
/// Both derive their transforms by the Toom-Cook construction: values at interpolation points are multiplied, and the
/// outputs are interpolated from the products. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
/// CVPR 2016. They use different points, and therefore different matrices:
/// </para>
/// <para>
/// Inference (<see cref="ToomCook{TVector, TLanes}"/>) uses 0, infinity, 1, -1, 2 and -2. Filters have the same values for
/// tiles of any size, and additions alone compute them from the taps, so that they are stored half transformed.
/// </para>
/// <para>
/// Training (<see cref="WinogradTransforms"/>) uses 0, +-sqrt(1/2), +-sqrt(2) and infinity, which have smaller rounding
/// errors, for whole tiles only, and also the transposed transforms for the gradients.
/// </para>
/// </remarks>
internal static class WinogradTile
{
    /// <summary>Height and width of a whole output tile, in pixels.</summary>
    public const int Size = 4;

    /// <summary>Height and width of a whole input tile in pixels, and number of points per axis, for filters with three taps along the axis.</summary>
    public const int Points = Size + 2;

    /// <summary>Number of points per axis for filters with two taps along the axis.</summary>
    public const int PointsOfTwoTaps = Size + 1;

    /// <summary>Number of pairs (row point, column point) of a whole tile.</summary>
    public const int AllPoints = Points * Points;
}
