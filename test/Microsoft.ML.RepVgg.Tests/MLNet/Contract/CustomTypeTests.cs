using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Column types of third parties, and what stock components do with them.</summary>
public sealed class CustomTypeTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void AttributesRegisterTheirTypes()
    {
        IDataView view = View();

        Assert.Equal(["Point", "Id"], view.Schema.Names());
        Assert.IsType<PointType>(view.Schema["Point"].Type);
        Assert.Equal([1, 2, 3], view.Values<Point>("Point").Select(point => point.X));
        Assert.Equal(
            [1, 2, 3], _context.Data.CreateEnumerable<Row>(view, reuseRowObject: false).Select(row => row.Point!.X));
        Assert.Equal([1, 2, 3], view.GetColumn<Point>("Point").Select(point => point.X));
    }

    [Fact]
    public void TransformsCarryThem()
    {
        IDataView copy = _context.Transforms.CopyColumns("P2", "Point").Fit(View()).Transform(View());

        Assert.Equal([1, 2, 3], copy.Values<Point>("P2").Select(point => point.X));
        Assert.Equal([2, 3], _context.Data.SkipRows(copy, 1).Values<Point>("P2").Select(point => point.X));
    }

    [Fact]
    public void WhatMustBeCopiedIsLeftOutOfCachesAndShuffles()
    {
        Assert.Equal(["Id"], _context.Data.Cache(View()).Schema.Names());
        Assert.Equal(["Id"], _context.Data.ShuffleRows(View()).Schema.Names());
        Assert.Equal([1, 2, 3], _context.Data.Cache(View()).Values<int>("Id"));
        Assert.Equal([1, 2, 3], _context.Data.ShuffleRows(View()).Values<int>("Id").Order());
    }

    [Fact]
    public void TheyAreNotSaved()
    {
        using MemoryStream file = new();
        _context.Model.Save(_context.Transforms.CopyColumns("Id2", "Id").Fit(View()), View().Schema, file);
        file.Position = 0;
        _context.Model.Load(file, out DataViewSchema schema);

        Assert.Equal(["Id"], schema.Names());
    }

    [Fact]
    public void TypesCannotBeRegisteredTwiceDifferently()
    {
        View();

        DataViewTypeManager.Register(new PointType(), typeof(Point), new PointTypeAttribute());
        Assert.Throws<ArgumentOutOfRangeException>(
            () => DataViewTypeManager.Register(new PointType(), typeof(Uri), new PointTypeAttribute()));
        Assert.Throws<ArgumentOutOfRangeException>(() => DataViewTypeManager.Register(new PointType(), typeof(float)));
    }

    [Fact]
    public void ScalarTypesCannotBeDisposable()
    {
        Assert.Throws<ArgumentException>(() => new StreamType());
    }

    private IDataView View() => _context.Data.LoadFromEnumerable(
        Enumerable.Range(1, 3).Select(i => new Row { Point = new Point(i), Id = i }).ToArray());

    private sealed record Point(int X);

    private sealed class PointType() : StructuredDataViewType(typeof(Point))
    {
        public override bool Equals(DataViewType? other) => other is PointType;

        public override bool Equals(object? obj) => obj is PointType;

        public override int GetHashCode() => 17;
    }

    private sealed class StreamType() : PrimitiveDataViewType(typeof(Stream))
    {
        public override bool Equals(DataViewType? other) => ReferenceEquals(this, other);
    }

    private sealed class PointTypeAttribute : DataViewTypeAttribute
    {
        public override void Register() => DataViewTypeManager.Register(new PointType(), typeof(Point), this);

        public override bool Equals(DataViewTypeAttribute? other) => other is PointTypeAttribute;

        public override bool Equals(object? obj) => obj is PointTypeAttribute;

        public override int GetHashCode() => 18;
    }

    private sealed class Row
    {
        [PointType]
        public Point? Point { get; set; }

        public int Id { get; set; }
    }
}
