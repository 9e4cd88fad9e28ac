using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Structure;

/// <summary>The search for cycles between namespaces, on the types of CycleExamples.cs.</summary>
public class NamespaceCyclesTests
{
    [Theory]
    [InlineData("BaseType", "Upper", "Part")]
    [InlineData("Interface", "IUpper", "Part")]
    [InlineData("Field", "Upper", "Part")]
    [InlineData("Signature", "Upper", "IPart")]
    [InlineData("Attribute", "UpperAttribute", "Part")]
    [InlineData("Constraint", "IUpper", "Part`1")]
    [InlineData("MethodBody", "Upper", "Part")]
    [InlineData("Lambda", "Upper", "Part")]
    [InlineData("GenericCall", "Upper", "Part")]
    public void A_namespace_and_its_child_that_use_each_other_are_found(string way, string upper, string part)
    {
        string parent = $"{typeof(NamespaceCyclesTests).Namespace}.Cycles.{way}", child = $"{parent}.Lower";
        var cycle = Assert.Single(Find($"Cycles.{way}"));
        Assert.Equal(2, cycle.Count);
        Assert.Matches($"^{parent} -> {child}: {upper} uses {part}$", cycle[0].ToString());
        Assert.Matches($@"^{child} -> {parent}: {part}(\..+)? uses {upper}$", cycle[1].ToString());
    }

    [Fact]
    public void A_cycle_of_three_is_described_by_three_lines()
    {
        string prefix = $"{typeof(NamespaceCyclesTests).Namespace}.Three";
        Assert.Equal($"""
            Cycle 1:
              {prefix}.First -> {prefix}.Second: One uses Two
              {prefix}.Second -> {prefix}.Third: Two uses Three
              {prefix}.Third -> {prefix}.First: Three uses One
            """, NamespaceCycles.Describe(Find("Three")), ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void Dependencies_in_one_direction_are_no_cycle() => Assert.Empty(Find("OneWay"));

    private static IReadOnlyList<IReadOnlyList<NamespaceUse>> Find(string below) =>
        NamespaceCycles.Find(typeof(NamespaceCyclesTests).Assembly.GetTypes()
            .Where(type => $"{type.Namespace}.".StartsWith($"{typeof(NamespaceCyclesTests).Namespace}.{below}.", StringComparison.Ordinal)));
}
